// What the page does for its reader beside showing steps: copying, playing, keeping the place, light and dark.

// The focus stays where it was in a panel that is written anew: on what now stands at the same place.
function keepingFocus(work) {
  const active = document.activeElement, section = active && active.closest("section");
  const stops = () => [...section.querySelectorAll("button, summary, [tabindex='0']")];
  const index = section ? stops().indexOf(active) : -1;
  work();
  if (index < 0 || document.contains(active)) return;
  const again = stops()[index];
  if (again) again.focus({ preventScroll: true });
}

async function copySpec() {
  const text = specAt(view.at).join("\n");
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = html("textarea", { "aria-hidden": "true", class: "offscreen" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  $("copied").textContent = done ? "copied" : "the browser does not let it be copied: select the text";
}

// Play.
function stopPlaying() {
  if (view.playing !== null) clearInterval(view.playing);
  view.playing = null;
  $("play").setAttribute("aria-pressed", "false");
  $("play").setAttribute("aria-label", "play");
  $("play").classList.remove("on");
}
function play() {
  if (view.playing !== null) { stopPlaying(); return; }
  if (view.at === lastState()) goTo(0);
  $("play").setAttribute("aria-pressed", "true");
  $("play").setAttribute("aria-label", "pause");
  $("play").classList.add("on");
  view.playing = setInterval(() => {
    if (view.at === lastState()) stopPlaying();
    else goTo(view.at + 1);
  }, 1000);
}

// The place of the reader outlives a reload: it stands behind the # of the address.
function keepPlace() {
  const chosen = view.selected && data.graph[view.selected.what][view.selected.index];
  const words = [`step=${view.at}`];
  if (view.base !== null) words.push(`base=${view.base}`);
  if (view.folded) words.push("folded=1");
  if (chosen) words.push(`${view.selected.what}=${encodeURIComponent(chosen.name)}`);
  if (["light", "dark"].includes(document.documentElement.dataset.theme)) words.push(`theme=${document.documentElement.dataset.theme}`);
  try { history.replaceState(null, "", `#${words.join("&")}`); } catch { /* a place where addresses cannot be changed */ }
}
function takePlace() {
  for (const word of location.hash.slice(1).split("&")) {
    const [key, value] = word.split("=");
    const number = Number(value);
    if (key === "step" && Number.isInteger(number)) view.at = Math.min(lastState(), Math.max(0, number));
    if (key === "base" && Number.isInteger(number) && number >= 0 && number <= lastState()) view.base = number;
    if ((key === "nodes" || key === "edges") && value) {
      let wanted = null;
      try { wanted = decodeURIComponent(value); } catch { /* an address that was cut off */ }
      const index = data.graph[key].findIndex((each) => each.name === wanted);
      if (index >= 0) view.selected = { what: key, index };
    }
  }
}

// Light and dark: as the system says, until the button says otherwise.
function theme(next) {
  const kept = () => { try { return localStorage.getItem("gromo-graph theme"); } catch { return null; } };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const told = /[#&]theme=(light|dark)/.exec(location.hash); // some browsers keep nothing for files
  let chosen = next || (told && told[1]) || kept() || "auto";
  if (!["auto", "light", "dark"].includes(chosen)) chosen = "auto";
  if (next) { try { localStorage.setItem("gromo-graph theme", next); } catch { /* not kept */ } }
  document.documentElement.dataset.theme = chosen;
  if (next) keepPlace();
  const isDark = chosen === "dark" || (chosen === "auto" && dark.matches);
  $("theme").textContent = isDark ? "Light" : "Dark";
  $("theme").onclick = () => theme(isDark ? "light" : "dark");
  dark.onchange = () => theme();
}
