// News of a run that goes on. What the reader looks at stays, unless the newest step is followed.
function takeNews(news) {
  if (news.damaged) { tellLive(news.damaged); return; }
  if (news.waiting) { tellLive(`waiting: ${news.waiting}`); return; }
  if (news.all) keepingFocus(() => takeAll(news.all));
  else takeEpochs(news);
  tellLive(data.results ? "the run is over" : "live");
}

// Said only when it is something else: those who hear the page are told once.
function tellLive(words) {
  if ($("live").textContent !== words) $("live").textContent = words;
}

function takeAll(all) {
  const follows = $("follow").checked, chosen = view.selected && { what: view.selected.what, name: nameOf(view.selected) };
  const focused = document.activeElement && document.activeElement.closest("#drawing [data-name]");
  const [left, down, top] = [$("sheet").scrollLeft, $("sheet").scrollTop, scrollY];
  data = { ...all, live: data.live };
  chooseGraph();
  specs.length = 0;
  view.at = follows ? lastState() : Math.min(view.at, lastState());
  if (view.base !== null) view.base = Math.min(view.base, lastState());
  if (view.event !== null && view.event >= data.events.length) view.event = null;
  if (chosen) {
    const index = data.graph[chosen.what].findIndex((each) => each.name === chosen.name);
    view.selected = index < 0 ? null : { what: chosen.what, index };
  }
  build();
  show({ scroll: follows });
  if (!follows) $("sheet").scrollTo({ left, top: down, behavior: "instant" });
  if (focused) {
    const { name: wanted, what } = focused.dataset;
    const again = parts.order.find(({ group, there }) => there && group.dataset.name === wanted && group.dataset.what === what);
    if (again) { keepOneStop(again); again.group.focus({ preventScroll: true }); }
  }
  scrollTo({ top, behavior: "instant" });
}
const nameOf = (selected) => data.graph[selected.what][selected.index].name;

function takeEpochs(news) {
  if (!news.epochs && JSON.stringify(news.results) === JSON.stringify(data.results)) return;
  data.results = news.results;
  data.sizes = news.sizes || data.sizes;
  if (news.epochs) {
    const filled = (columns, key) => columns[key] || new Array(columns.epoch.length).fill(null);
    const keys = new Set([...Object.keys(data.epochs), ...Object.keys(news.epochs)]);
    data.epochs = Object.fromEntries([...keys].map((key) => [key, [...filled(data.epochs, key), ...filled(news.epochs, key)]]));
    data.seen = news.seen;
  }
  tellRun();
  pointAt(null);
  markHere();
}

async function listen() {
  let news = null;
  try {
    const answer = await fetch(`news?seen=${encodeURIComponent(data.seen)}`, { cache: "no-store" });
    if (answer.ok) news = await answer.json();
  } catch { /* told below */ }
  setTimeout(listen, news ? 1000 : 3000);
  if (news) takeNews(news);
  else tellLive("the server does not answer");
}
