// A wall of pictures that scrolls through tens of thousands (layout.js, cell.js, asking.js), with a lightbox over it (lightbox.js)
// and a bar for the selected ones (bar.js). The only custom component of the page; the tabs Gallery and Search use it.
//
//   sugarWall(element, props, trigger, watch)      from js_on_load of a gr.HTML
//
// The server sends messages as the component's value, JSON; sugar/ui/wall.py writes them:
//   {kind: "listing", name, order, sections: [[label, [id, ...], in one line?], ...], stale: [id, ...] or null for all,
//    notes: [[class, text], ...], can: ["select", "edit", ...], targets, onward, leaving, words}
//   {kind: "cells", name, cells: [{id, name, caption, thumb, line, score, favourite}]}
//   {kind: "large", name, id, cell, src, about, html}      name: of the listing that they belong to; others are late
// The wall asks by events: need {ids}, open {id}, download {ids}, act {what, ids, text}.
window.sugarWall = (element, props, trigger, watch) => {
  const { make } = wallTools, { GAP, HEAD } = wallLayout;
  const root = make("div", "sugar-wall");
  const notes = make("div", "sugar-wall-notes");
  notes.setAttribute("role", "status");
  const scroll = make("div", "sugar-wall-scroll");
  const spacer = make("div", "sugar-wall-spacer");
  scroll.append(spacer);
  const known = new Map(), asking = wallAsking(trigger, () => draw());
  let rows = [], drawn = new Map(), columns = 1, frame = 0;
  const wall = {
    root, trigger, known,
    ids: [],
    words: {},
    listing: { name: null, sections: [], can: [], leaving: 0 },
    can: (what) => wall.listing.can.includes(what),
    act: (what, ids, text) => trigger("act", { what, ids, text }),
    cell: (id) => spacer.querySelector(`[data-pick="${id}"]`),
  };
  const bar = sugarWallBar(wall, () => draw());
  const box = sugarLightbox(wall, bar);
  const head = make("div", "sugar-wall-top");
  head.append(notes, bar.node);
  root.append(head, scroll, box.node);
  element.append(root);

  const measure = () => {
    const width = scroll.clientWidth || 600;
    const laid = wallLayout.rows(wall.listing.sections, width);
    ({ rows, columns } = laid);
    spacer.style.height = `${laid.tall}px`;
    scroll.style.height = `${Math.min(laid.tall, Math.round(window.innerHeight * 0.7))}px`;
    draw();
  };

  const draw = () => {
    const above = scroll.scrollTop - 600, below = scroll.scrollTop + scroll.clientHeight + 600;
    const shown = [], missing = [];
    for (let at = wallLayout.first(rows, above); at < rows.length && rows[at].top < below; at += 1) {
      const row = rows[at];
      if (row.label) shown.push(reuse(`head ${at}`, row, 0, [row.label], () => make("h4", "sugar-wall-head", row.label)));
      row.ids?.forEach((id, n) => {
        const cell = known.get(id), pressed = bar.selecting && bar.selected.has(id);
        if (!cell) missing.push(id);
        const state = [cell, row.size, bar.selecting, pressed];
        shown.push(reuse(id, row, n * (row.size + GAP), state, () => wallCell(wall, bar, id, cell, row.size)));
      });
    }
    const here = new Set(shown.map((one) => one.node)), focused = document.activeElement?.dataset?.pick;
    const had = spacer.contains(document.activeElement);
    [...spacer.children].filter((node) => !here.has(node)).forEach((node) => node.remove());
    shown.forEach(({ node }, n) => { if (spacer.children[n] !== node) spacer.insertBefore(node, spacer.children[n] ?? null); });
    drawn = new Map(shown.map((one) => [one.key, one]));
    if (had && !spacer.contains(document.activeElement)) wall.cell(focused)?.focus({ preventScroll: true });
    asking.need(missing);
  };

  // The node that shows this already, or a new one: a picture that stays in sight is not decoded again.
  const reuse = (key, row, left, state, fresh) => {
    const before = drawn.get(key), same = before?.state.every((value, n) => value === state[n]);
    const node = same ? before.node : fresh();
    const style = `top: ${row.top}px; left: ${left}px;${row.size ? ` width: ${row.size}px;` : ""}`;
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
  spacer.addEventListener("keydown", (event) => {
    const at = wall.ids.indexOf(Number(event.target.dataset?.pick));
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    const to = wall.ids[at + (steps[event.key] ?? NaN)];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const row = rows.find((r) => r.ids?.includes(to)), bottom = row.top + row.tall + GAP;
    if (row.top < scroll.scrollTop) scroll.scrollTop = row.top - HEAD;
    if (bottom > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = bottom - scroll.clientHeight;
    draw();
    wall.cell(to)?.focus({ preventScroll: true });
  });

  // -- messages of the server

  const list = (message) => {
    wall.words = message.words;
    const other = message.name !== wall.listing.name;
    if (other) {
      known.clear();
      bar.clear();
      box.drop();
    }
    if (other || message.order !== wall.listing.order) scroll.scrollTop = 0;
    wall.listing = message;
    wall.ids = message.sections.flatMap(([, ids]) => ids);
    for (const id of message.stale ?? [...known.keys()]) known.delete(id);
    asking.forget();
    root.dataset.count = wall.ids.length;
    notes.replaceChildren(...message.notes.map(([name, text]) => make("p", name, text)));
    bar.listed();
    box.listed(message.stale ?? []);
    measure();
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
      message.cells.forEach((cell) => known.set(cell.id, cell));
      draw();
    }
    if (message?.kind === "large") {
      // a cell that was dropped meanwhile is asked for whole: this one has no thumbnail
      if (known.has(message.id)) known.set(message.id, { ...known.get(message.id), ...message.cell });
      box.take(message);
    }
  };
  scroll.addEventListener("scroll", () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  });
  new ResizeObserver(() => { if (scroll.clientWidth) measure(); }).observe(element);
  watch("value", take);
  take();
};
