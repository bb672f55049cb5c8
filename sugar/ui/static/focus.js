// Keeps the focus where it was when a component draws its cells anew: on the cell with the same data-pick.
(() => {
  const kept = { home: null, pick: "" };

  document.addEventListener("focusin", (event) => {
    const cell = event.target.closest?.("[data-pick]");
    kept.home = cell ? cell.closest("[id]:not([data-pick])") : null;
    kept.pick = cell ? cell.dataset.pick : "";
  });

  new MutationObserver(() => {
    if (!kept.home || document.activeElement !== document.body) return;
    const same = document.getElementById(kept.home.id)?.querySelector(`[data-pick="${CSS.escape(kept.pick)}"]`);
    if (same) same.focus({ preventScroll: true });
  }).observe(document, { childList: true, subtree: true });
})();
