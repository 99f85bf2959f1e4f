"use strict";
// Keeps the page up to date with what the server renders. Without this script the
// page shows how things were when it was loaded.
(() => {
  const main = document.querySelector("main[data-events]");
  const rows = document.getElementById("rows");
  const none = document.getElementById("none");
  const live = document.getElementById("live");
  const announce = document.getElementById("announce");
  let last = main.dataset.last;
  let source = null;
  let paused = false;

  // Replacing an element would take the focus from what is in it.
  const keepingFocus = (change) => {
    const id = document.activeElement && document.activeElement.id;
    change();
    if (id && document.activeElement !== document.getElementById(id)) {
      document.getElementById(id)?.focus({ preventScroll: true });
    }
  };

  const apply = (event) => {
    last = event.lastEventId;
    const patch = JSON.parse(event.data);
    keepingFocus(() => {
      for (const [id, html] of Object.entries(patch.regions ?? {})) {
        document.getElementById(id).innerHTML = html;
      }
      if (patch.reset) rows.replaceChildren();
      if (patch.rows) rows.insertAdjacentHTML("afterbegin", patch.rows);
      while (rows.rows.length > Number(rows.dataset.limit)) rows.deleteRow(-1);
      none.hidden = rows.rows.length > 0;
    });
    if (patch.announce) announce.textContent = patch.announce;
  };

  const show = (text) => { live.textContent = text; };
  const close = () => { source?.close(); source = null; };
  const open = () => {
    close();
    source = new EventSource(main.dataset.events + "&after=" + encodeURIComponent(last));
    source.onmessage = apply;
    source.onopen = () => show("Live");
    source.onerror = () => show(source.readyState === EventSource.CLOSED ? "Not live" : "Connecting");
  };
  const follow = () => {
    live.setAttribute("aria-pressed", String(!paused));
    if (paused || document.hidden) close(); else open();
    if (paused) show("Paused");
  };

  live.hidden = false;
  live.addEventListener("click", () => { paused = !paused; follow(); });
  // A browser holds few connections to a server: pages that nobody sees need none.
  document.addEventListener("visibilitychange", follow);
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
  follow();
})();
