// One picture of a wall in the whole window: arrow keys, swipes, zoom, what is known of it beside it, and where it can go from here.
//
//   const box = sugarLightbox(wall, bar)      box.show(id), box.drop(), box.take(message of kind "large"), box.explain(of kind "why")
//
// Where galleries have names, the page's address names the picture while it is open: ?gallery=...&photo=...
//
// A caption or a name that was typed is saved when the picture is left, however it is left. It stays in its field until
// the server has it.
window.sugarLightbox = (wall, bar) => {
  const { make, button, press } = wallTools;
  const SWIPE = 60; // pixels of a swipe to the next picture
  const node = make("dialog", "sugar-lightbox");
  node.tabIndex = -1;
  const typed = new Map(); // id -> {caption or rename: {text, sent}}
  let open = null, down = null, large = {}, followed = false;
  let informed = !matchMedia("(max-width: 860px)").matches; // a phone has no room beside it

  const address = (id) => {
    const { gallery } = wall.listing;
    return gallery ? `${location.pathname}?${new URLSearchParams({ gallery, photo: id % 2 ** 48 })}` : undefined;
  };

  const show = (id) => {
    leave();
    open = id;
    large = {};
    draw();
    if (node.open) history.replaceState(history.state, "", address(id));
    else {
      node.showModal();
      history.pushState({ ...history.state, sugarPicture: true }, "", address(id)); // Back closes the picture, not the page
    }
    wall.trigger("open", { id });
  };
  const shown = () => ({ ...wall.known.get(open), ...large });
  const stored = (cell, what) => (what === "caption" ? cell.caption : cell.name) ?? "";
  const unsaved = () => Object.entries(typed.get(open) ?? {}).filter(([what, { text, sent }]) =>
    !sent && text.trim() !== stored(shown(), what) && (text.trim() || what === "caption"));
  const save = (id, what, text) => {
    typed.set(id, { ...typed.get(id), [what]: { text, sent: true } });
    wall.act(what, [id], text);
  };
  const leave = () => {
    for (const [what, { text }] of unsaved()) save(open, what, text);
  };
  const close = () => { if (node.open) node.close(); };
  const step = (by) => {
    const to = wall.ids[wall.ids.indexOf(open) + by];
    if (to !== undefined) show(to);
  };
  const act = (what, text) => wall.act(what, [open], text);

  const draw = () => {
    const cell = shown(), { words, can } = wall;
    const image = make("img", "sugar-lightbox-image");
    Object.assign(image, { src: cell.src ?? cell.thumb ?? "", alt: cell.caption || cell.name || "", draggable: false });
    const zoomed = button("", words.zoom, () => zoom());
    zoomed.setAttribute("aria-pressed", "false");
    const zoom = () => zoomed.setAttribute("aria-pressed", String(image.classList.toggle("zoomed")));
    image.addEventListener("click", zoom);
    const at = wall.ids.indexOf(open);
    const back = button("sugar-lightbox-back", "‹", () => step(-1)), next = button("sugar-lightbox-next", "›", () => step(1));
    back.setAttribute("aria-label", words.previous);
    next.setAttribute("aria-label", words.next);
    back.disabled = at <= 0;
    next.disabled = at < 0 || at >= wall.ids.length - 1;
    const told = button("", words.information, () => {
      informed = !informed;
      draw();
    });
    told.setAttribute("aria-pressed", String(informed));
    const head = make("div", "sugar-lightbox-bar");
    head.append(button("", words.close, close), make("span", "name", cell.name ?? ""), zoomed);
    if (can("explain")) head.append(button("", words.why, why));
    if (can("download")) head.append(button("", words.download, () => wall.trigger("download", { ids: [open] })));
    if (can("edit") && cell.name) {
      const [what, text] = cell.favourite ? ["unfavourite", words.unfavourite] : ["favourite", words.favourite];
      head.append(button("", text, () => act(what)), button("stop", words.delete, () => {
        const gone = open;
        typed.delete(gone);
        if (at < wall.ids.length - 1) step(1);
        else close();
        wall.act("later", [gone]);
      }));
    }
    head.append(told);
    const stage = make("div", "sugar-lightbox-stage"), onward = make("div", "sugar-lightbox-onward");
    stage.append(image, back, next);
    onward.append(...wall.listing.onward.map(([selector, text]) => button("", text, () => {
      close();
      press(selector);
    })));
    const body = make("div", informed ? "sugar-lightbox-body informed" : "sugar-lightbox-body");
    body.append(stage, onward);
    if (informed) body.append(drawAbout(cell));
    node.setAttribute("aria-label", cell.name ?? "");
    const had = node.contains(document.activeElement) ? document.activeElement : null;
    const before = had?.textContent, what = had?.dataset.what, cursor = what && [had.selectionStart, had.selectionEnd];
    node.replaceChildren(bar.undo, head, body);
    if (!node.open) return;
    // what had the focus is drawn anew: arrow keys, Tab and typing must go on from there
    const same = what
      ? node.querySelector(`[data-what="${what}"]`)
      : [...node.querySelectorAll("button:enabled")].find((b) => before && b.textContent === before);
    (same ?? node).focus({ preventScroll: true });
    if (what) same?.setSelectionRange(...cursor);
  };

  // What stands beside the picture. Its own scroller: the picture stays in sight.
  const drawAbout = (cell) => {
    const { words, can } = wall, about = make("aside", "sugar-lightbox-about");
    about.setAttribute("aria-label", words.information);
    about.append(make("p", "line", cell.about ?? ""));
    if (cell.line) about.append(make("p", "line", cell.line));
    if (cell.score) about.append(make("p", "line sugar-score", cell.score));
    if (can("edit") && cell.name) {
      field(about, "textarea", words.caption, cell.caption, words.save_caption, "caption");
      if (cell.by_model) about.append(make("p", "line", words.by_model.replace("{model}", cell.by_model)));
      field(about, "input", words.name, cell.name, words.rename, "rename");
    } else {
      about.append(make("p", "", cell.caption ?? ""));
      about.append(make("p", "line", cell.name ?? "")); // a phone's bar has no room for it, and it may hold the credit
    }
    if (cell.text) about.append(make("p", "text", words.text_in_picture.replace("{text}", cell.text)));
    if (cell.html) {
      const found = make("div", "sugar-lightbox-why");
      found.innerHTML = cell.html; // made by the server, which escapes every word in it
      about.append(found);
    }
    return about;
  };
  const why = () => {
    informed = true;
    draw();
    wall.trigger("why", { id: open });
  };
  const field = (about, kind, text, value, press, what) => {
    const label = make("label", "", text), input = make(kind), id = open;
    input.value = typed.get(id)?.[what]?.text ?? value ?? "";
    input.dataset.what = what;
    input.addEventListener("input", () => typed.set(id, { ...typed.get(id), [what]: { text: input.value, sent: false } }));
    label.append(input);
    about.append(label, button("", press, () => save(id, what, input.value)));
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
  node.addEventListener("close", () => {
    leave();
    wall.root.prepend(bar.undo);
    if (history.state?.sugarPicture) history.back();
    wall.cell(open)?.focus({ preventScroll: true });
  });
  window.addEventListener("popstate", () => { if (!history.state?.sugarPicture) close(); });
  // leaving the page while something is typed: the browser asks first
  window.addEventListener("beforeunload", (event) => { if (node.open && unsaved().length) event.preventDefault(); });

  const box = {
    node, show,
    // Another gallery is shown: what was typed belongs to a picture of the one before, which is not here any more.
    drop() {
      typed.clear();
      close();
    },
    // The list changed: what is open is asked for again where it changed.
    listed(stale) {
      if (!node.open) return;
      draw(); // what is before and after it may be another picture
      if (stale.includes(open) && wall.ids.includes(open)) wall.trigger("open", { id: open });
    },
    // The page was opened by the address of a picture.
    follow() {
      const asked = new URLSearchParams(location.search), id = Number(asked.get("photo"));
      if (followed || !asked.get("photo") || asked.get("gallery") !== wall.listing.gallery) return;
      followed = true;
      if (!wall.ids.includes(id)) return;
      history.replaceState({ ...history.state, sugarPicture: false }, "", location.pathname);
      box.show(id);
    },
    explain(message) {
      if (!node.open || message.id !== open) return;
      large.html = message.html;
      draw();
    },
    take(message) {
      const fields = typed.get(message.id) ?? {};
      for (const what of Object.keys(fields)) {
        if (fields[what].text.trim() === stored(message.cell, what)) delete fields[what];
      }
      if (!node.open || message.id !== open) return;
      large = { html: large.html, ...message, ...message.cell };
      draw();
    },
  };
  return box;
};
