// A wall of pictures that scrolls with the page through tens of thousands (layout.js, cell.js, asking.js, scrubber.js), with one picture
// over it (lightbox.js) and a bar for the selected ones (bar.js). The only custom component of the page, in the tab Photos.
//
//   sugarWall(element, props, trigger, watch)      from js_on_load of a gr.HTML
//
// The server sends messages as the component's value, JSON; sugar/ui/wall.py writes them:
//   {kind: "listing", name, gallery, order, dated, sections: [[label, [id, ...], [width / height, ...], in one line?], ...],
//    stale: [id, ...] or null for all, notes: [[class, text], ...], can: ["select", "edit", ...], targets, onward, leaving, words}
//   {kind: "cells", name, cells: [{id, name, caption, thumb, line, score, favourite, about}]}
//   {kind: "large", name, id, cell, src} and {kind: "why", name, id, html}      name: of the listing; others are late
// The wall asks by events: need {ids}, open {id}, why {id}, download {ids}, act {what, ids, text}.
window.sugarWall = (element, props, trigger, watch) => {
  const { make } = wallTools, AHEAD = 900; // pixels above and below the window that are drawn too
  const root = make("div", "sugar-wall");
  const notes = make("div", "sugar-wall-notes");
  notes.setAttribute("role", "status");
  const spacer = make("div", "sugar-wall-spacer");
  const known = new Map(), asking = wallAsking(trigger, () => draw());
  let rows = [], drawn = new Map(), frame = 0, current = null;
  const wall = {
    root, trigger, known,
    ids: [],
    words: {},
    listing: { name: null, sections: [], can: [], leaving: 0 },
    can: (what) => wall.listing.can.includes(what),
    act: (what, ids, text) => trigger("act", { what, ids, text }),
    cell: (id) => spacer.querySelector(`[data-pick="${id}"]`),
    current: () => (wall.ids.includes(current) ? current : wall.ids[0]), // the one that Tab goes to
    toTop: () => { if (root.getBoundingClientRect().top < 0) window.scrollTo(0, 0); },
  };
  const bar = sugarWallBar(wall, () => draw());
  const box = sugarLightbox(wall, bar);
  const go = (top) => window.scrollTo(0, window.scrollY + spacer.getBoundingClientRect().top + top - 8);
  const scrubber = sugarScrubber(wall, go);
  root.append(bar.undo, notes, bar.node, spacer, scrubber.node, box.node);
  element.append(root);

  const measure = () => {
    const laid = wallLayout.rows(wall.listing.sections, spacer.clientWidth || 600, wall.listing.dated);
    rows = laid.rows;
    spacer.style.height = `${laid.tall}px`;
    scrubber.show(rows, laid.tall, wall.listing.dated);
    draw();
  };

  const draw = () => {
    if (!root.offsetParent) return; // another tab is shown
    const { top } = spacer.getBoundingClientRect();
    scrubber.node.style.top = `${Math.max(8, top)}px`;
    const above = -top - AHEAD, below = window.innerHeight - top + AHEAD;
    const shown = [], missing = [];
    for (let at = wallLayout.first(rows, above); at < rows.length && rows[at].top < below; at += 1) {
      const row = rows[at];
      for (const { label, left, width } of row.heads) {
        const style = `top: ${row.top}px; left: ${left}px; width: ${width}px;`;
        shown.push(reuse(`head ${at} ${left}`, style, [label], () => Object.assign(make("h2", "sugar-wall-head", label), { title: label })));
      }
      for (const { id, left, width } of row.cells) {
        const cell = known.get(id), pressed = bar.selecting && bar.selected.has(id);
        if (!cell) missing.push(id);
        const style = `top: ${row.top + row.head}px; left: ${left}px; width: ${width}px; height: ${row.size}px;`;
        shown.push(reuse(id, style, [cell, bar.selecting, pressed, id === wall.current()], () => wallCell(wall, bar, id, cell)));
      }
    }
    const here = new Set(shown.map((one) => one.node)), focused = document.activeElement?.dataset?.pick;
    const had = spacer.contains(document.activeElement);
    [...spacer.children].filter((node) => !here.has(node)).forEach((node) => node.remove());
    shown.forEach(({ node }, n) => { if (spacer.children[n] !== node) spacer.insertBefore(node, spacer.children[n] ?? null); });
    drawn = new Map(shown.map((one) => [one.key, one]));
    if (had && !spacer.contains(document.activeElement)) (wall.cell(focused) ?? wall.cell(wall.current()))?.focus({ preventScroll: true });
    asking.need(missing);
  };

  // The node that shows this already, or a new one: a picture that stays in sight is not decoded again.
  const reuse = (key, style, state, fresh) => {
    const before = drawn.get(key), same = before?.state.every((value, n) => value === state[n]);
    const node = same ? before.node : fresh();
    if (!same || before.style !== style) node.style.cssText = style;
    return { key, node, state, style };
  };

  // -- pressing a cell opens it, or selects it; arrow keys go from cell to cell

  spacer.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-pick]");
    if (!cell) return;
    const id = Number(cell.dataset.pick);
    if (!bar.takes(id, event)) box.show(id);
  });
  bar.longPresses(spacer);
  // The picture that stands nearest in the row above or below.
  const beyond = (id, by) => {
    const at = rows.findIndex((row) => row.cells.some((cell) => cell.id === id)), other = rows[at + by]?.cells;
    const own = rows[at]?.cells.find((cell) => cell.id === id);
    return other?.reduce((best, cell) => (Math.abs(cell.left - own.left) < Math.abs(best.left - own.left) ? cell : best)).id;
  };
  const focus = (id) => {
    const row = rows.find((one) => one.cells.some((cell) => cell.id === id)), { top } = spacer.getBoundingClientRect();
    if (!row) return;
    current = id;
    if (top + row.top < 0) go(row.top);
    if (top + row.top + row.tall > window.innerHeight) window.scrollBy(0, top + row.top + row.tall - window.innerHeight + 8);
    draw();
    wall.cell(id)?.focus({ preventScroll: true });
  };
  spacer.addEventListener("keydown", (event) => {
    const id = Number(event.target.dataset?.pick), at = wall.ids.indexOf(id);
    if (at < 0) return;
    const to = {
      ArrowRight: () => wall.ids[at + 1], ArrowLeft: () => wall.ids[at - 1], ArrowDown: () => beyond(id, 1), ArrowUp: () => beyond(id, -1),
      Home: () => wall.ids[0], End: () => wall.ids.at(-1),
    }[event.key]?.();
    if (to === undefined) return;
    event.preventDefault();
    focus(to);
  });
  wall.enter = () => { if (wall.ids.length) focus(wall.current()); }; // from the search box
  root.sugarWall = wall;
  const skip = make("button", "sugar-skip"); // the first stop after the search box
  skip.type = "button";
  skip.addEventListener("click", wall.enter);

  // -- messages of the server

  const list = (message) => {
    wall.words = message.words;
    skip.textContent = message.words.to_results;
    if (!skip.isConnected) document.querySelector("#search-words")?.after(skip);
    const other = message.name !== wall.listing.name;
    if (other) {
      current = null;
      known.clear();
      bar.clear();
      box.drop();
    }
    if (other || message.order !== wall.listing.order) wall.toTop();
    wall.listing = message;
    wall.ids = message.sections.flatMap(([, ids]) => ids);
    for (const id of message.stale ?? [...known.keys()]) known.delete(id);
    asking.forget();
    root.dataset.count = wall.ids.length;
    tell();
    bar.listed();
    box.listed(message.stale ?? []);
    measure();
    box.follow();
  };
  // Lines above the pictures. How much there is, and what is done with selected ones, stand in the bar of the tab, once it has come.
  const tell = () => {
    const home = document.querySelector("#wall-bar"), size = document.querySelector("#wall-size");
    const beside = ([name]) => size && name === "sugar-size", all = wall.listing.notes ?? [];
    notes.replaceChildren(...all.filter((note) => !beside(note)).map(([name, text]) => make("p", name, text)));
    size?.replaceChildren(...all.filter(beside).map(([, text]) => text));
    if (home && !home.contains(bar.node)) home.append(bar.node);
  };
  const take = () => {
    if (!root.isConnected) element.append(root);
    let message;
    try {
      message = JSON.parse(props.value || "null");
    } catch {
      return;
    }
    if (message?.kind === "listing") list(message);
    if (message?.name !== wall.listing.name) return;
    if (message?.kind === "cells") {
      if (!bar.node.closest("#wall-bar")) tell();
      message.cells.forEach((cell) => known.set(cell.id, cell));
      draw();
    }
    if (message?.kind === "large") {
      // a cell that was dropped meanwhile is asked for whole: this one has no thumbnail
      if (known.has(message.id)) known.set(message.id, { ...known.get(message.id), ...message.cell });
      box.take(message);
    }
    if (message?.kind === "why") box.explain(message);
  };
  document.addEventListener("scroll", () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  }, { capture: true, passive: true });
  let width = 0;
  new ResizeObserver(() => { // a tab that is shown again, a window that was turned
    if (!spacer.clientWidth) return;
    if (spacer.clientWidth !== width) measure();
    else draw();
    width = spacer.clientWidth;
  }).observe(element);
  watch("value", take);
  take();
};
