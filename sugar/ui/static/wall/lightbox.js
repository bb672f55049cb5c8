// One picture of a wall, large: arrow keys, swipes, zoom, what is known of it, and where it can go from here.
//
//   const box = sugarLightbox(wall)      box.show(id), box.close(), box.take(message of kind "large")
window.sugarLightbox = (wall) => {
  const { make, button, press } = wallTools;
  const SWIPE = 60; // pixels of a swipe to the next picture
  const node = make("dialog", "sugar-lightbox");
  node.tabIndex = -1;
  let open = null, down = null;

  const show = (id) => {
    open = id;
    draw({});
    if (!node.open) node.showModal();
    wall.trigger("open", { id });
  };
  const close = () => { if (node.open) node.close(); };
  const step = (by) => {
    const to = wall.ids[wall.ids.indexOf(open) + by];
    if (to !== undefined) show(to);
  };
  const act = (what, text) => wall.act(what, [open], text);

  const draw = (large) => {
    const cell = { ...wall.known.get(open), ...large }, { words, can } = wall;
    const image = make("img", "sugar-lightbox-image");
    Object.assign(image, { src: cell.src ?? cell.thumb ?? "", alt: cell.caption || cell.name || "", draggable: false });
    const body = make("div", "sugar-lightbox-body");
    body.append(image, drawAbout(cell));
    const zoomed = button("", words.zoom, () => zoom());
    zoomed.setAttribute("aria-pressed", "false");
    const zoom = () => zoomed.setAttribute("aria-pressed", String(image.classList.toggle("zoomed")));
    image.addEventListener("click", zoom);
    const at = wall.ids.indexOf(open);
    const back = button("", words.previous, () => step(-1)), next = button("", words.next, () => step(1));
    back.disabled = at <= 0;
    next.disabled = at < 0 || at >= wall.ids.length - 1;
    const head = make("div", "sugar-lightbox-bar");
    head.append(back, next, zoomed);
    if (can("download")) head.append(button("", words.download, () => wall.trigger("download", { ids: [open] })));
    if (can("edit") && cell.name) {
      const [what, text] = cell.favourite ? ["unfavourite", words.unfavourite] : ["favourite", words.favourite];
      head.append(button("", text, () => act(what)), button("stop", words.delete, () => {
        const gone = open;
        if (at < wall.ids.length - 1) step(1);
        else close();
        wall.act("later", [gone]);
      }));
    }
    head.append(button("sugar-lightbox-close", words.close, close));
    node.setAttribute("aria-label", cell.name ?? "");
    const before = node.contains(document.activeElement) ? document.activeElement.textContent : null;
    node.replaceChildren(head, body);
    if (!node.open) return;
    // what had the focus is drawn anew: arrow keys and Tab must go on from there
    const same = [...node.querySelectorAll("button:enabled")].find((b) => before && b.textContent === before);
    (same ?? node).focus({ preventScroll: true });
  };

  const drawAbout = (cell) => {
    const { words, can } = wall, about = make("div", "sugar-lightbox-about");
    about.append(make("p", "name", cell.name ?? ""), make("p", "line", cell.about ?? ""));
    if (cell.line && cell.line !== cell.caption) about.append(make("p", "line", cell.line));
    if (cell.score) about.append(make("p", "line sugar-score", cell.score));
    if (can("edit") && cell.name) {
      field(about, "textarea", words.caption, cell.caption, words.save_caption, "caption");
      if (cell.by_model) about.append(make("p", "line", words.by_model.replace("{model}", cell.by_model)));
      field(about, "input", words.name, cell.name, words.rename, "rename");
    } else about.append(make("p", "", cell.caption ?? ""));
    const onward = make("div", "sugar-lightbox-onward");
    for (const [selector, text] of [...wall.listing.similar, ...wall.listing.onward]) {
      onward.append(button("", text, () => {
        close();
        press(selector);
      }));
    }
    about.append(onward);
    if (cell.html) {
      const why = make("div", "sugar-lightbox-why");
      why.innerHTML = cell.html; // made by the server, which escapes every word in it
      about.append(why);
    }
    return about;
  };
  const field = (about, kind, text, value, save, what) => {
    const label = make("label", "", text), input = make(kind);
    input.value = value ?? "";
    label.append(input);
    about.append(label, button("", save, () => act(what, input.value)));
  };

  node.addEventListener("keydown", (event) => {
    if (["TEXTAREA", "INPUT"].includes(event.target.tagName)) return;
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });
  node.addEventListener("pointerdown", (event) => {
    const image = event.target.closest(".sugar-lightbox-image:not(.zoomed)");
    down = image && event.pointerType !== "mouse" ? event.clientX : null;
  });
  node.addEventListener("pointerup", (event) => {
    const by = down === null ? 0 : event.clientX - down;
    if (Math.abs(by) > SWIPE) step(by < 0 ? 1 : -1);
    down = null;
  });
  node.addEventListener("click", ({ target, clientX: x, clientY: y }) => {
    const { left, right, top, bottom } = node.getBoundingClientRect();
    if (target === node && (x < left || x > right || y < top || y > bottom)) close(); // beside it
  });
  node.addEventListener("close", () => wall.cell(open)?.focus({ preventScroll: true }));

  return {
    node, show, close,
    // The list changed: what is open is asked for again where it changed.
    listed(stale) {
      if (node.open && stale.includes(open) && wall.ids.includes(open)) wall.trigger("open", { id: open });
    },
    take(message) { if (node.open && message.id === open) draw({ ...message, ...message.cell }); },
  };
};
