from sklearn.utils.estimator_checks import parametrize_with_checks
from gromo_graph.interop.estimators import GrowingClassifier, GrowingRegressor

@parametrize_with_checks([GrowingClassifier(epochs=20, batch_size=32, lr=0.02, random_state=0), GrowingRegressor(epochs=20, batch_size=32, lr=0.02, random_state=0)])
def test_scikit_learn_s_own_checks(estimator, check):
    check(estimator)
