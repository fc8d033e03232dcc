"""Estimators of scikit-learn that grow: in a pipeline, a cross-validation and a grid search."""

from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from gromo_graph import GrowingClassifier, GrowingRegressor

x, y = load_breast_cancer(return_X_y=True)
model = GrowingClassifier(hidden=(2, 2), epochs=30, random_state=0, verbose=True)
model.fit(x, y)
print(model.network_)
print(f"accuracy in 3 folds: {cross_val_score(model.set_params(verbose=False), x, y, cv=3).mean():.3f}")

x, y = load_diabetes(return_X_y=True)
grower = GrowingRegressor(hidden=(2,), epochs=30, random_state=0)
line = make_pipeline(SplineTransformer(n_knots=3), grower)
search = GridSearchCV(line, {"growingregressor__max_parameters": [150, 400]}, cv=3).fit(x, y)
found = search.best_estimator_[-1].network_.graph.parameter_count
print(f"{search.best_params_}: {found} parameters, R² {search.best_score_:.3f}")
assert search.best_score_ > 0.3
