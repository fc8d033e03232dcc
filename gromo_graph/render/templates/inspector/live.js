// News of a run that goes on. What the reader looks at stays, unless the newest step is followed.
function takeNews(news) {
  $("live").textContent = data.results ? "the run is over" : "live";
  if (news.waiting) { $("live").textContent = `waiting: ${news.waiting}`; return; }
  if (news.all) {
    const chosen = view.selected && data.graph[view.selected.what][view.selected.index].name;
    const what = view.selected && view.selected.what;
    const focused = document.activeElement && document.activeElement.closest("#drawing [data-name]");
    const focus = focused && [focused.dataset.name, focused.classList.contains("edge")];
    const place = [$("sheet").scrollLeft, $("sheet").scrollTop];
    const [live, top] = [data.live, scrollY];
    data = { ...news.all, live };
    specs.length = 0;
    if ($("follow").checked) view.at = lastState();
    view.at = Math.min(view.at, lastState());
    if (view.base !== null) view.base = Math.min(view.base, lastState());
    if (view.event !== null && view.event >= data.events.length) view.event = null;
    if (chosen !== null) {
      const index = data.graph[what].findIndex((each) => each.name === chosen);
      view.selected = index < 0 ? null : { what, index };
    }
    build();
    show({ scroll: $("follow").checked });
    if (!$("follow").checked) $("sheet").scrollTo({ left: place[0], top: place[1], behavior: "instant" });
    if (focus) {
      const again = parts.order.find((each) => each.group.dataset.name === focus[0] && (each.what === "edges") === focus[1]);
      if (again && again.there) { keepOneStop(again); again.group.focus({ preventScroll: true }); }
    }
    scrollTo({ top, behavior: "instant" });
  } else {
    const changed = JSON.stringify(news.results) !== JSON.stringify(data.results) || news.epochs;
    data.results = news.results;
    if (news.epochs) {
      const before = data.epochs.epoch.length;
      for (const key of new Set([...Object.keys(data.epochs), ...Object.keys(news.epochs)])) {
        const missing = (columns) => new Array(columns.epoch.length).fill(null);
        data.epochs[key] = [...(data.epochs[key] || new Array(before).fill(null)), ...(news.epochs[key] || missing(news.epochs))];
      }
      data.seen = news.seen;
    }
    if (changed) {
      tellRun();
      pointAt(null);
      markHere();
    }
  }
  $("live").textContent = data.results ? "the run is over" : "live";
}

async function listen() {
  let pause = 1000;
  try {
    const answer = await fetch(`news?seen=${encodeURIComponent(data.seen)}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    takeNews(await answer.json());
  } catch {
    $("live").textContent = "the server does not answer";
    pause = 3000;
  }
  setTimeout(listen, pause);
}
