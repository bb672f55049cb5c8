// The bar above a wall of pictures: selecting, and what is done with the selected ones; what was deleted can come back.
//
//   const bar = sugarWallBar(wall, draw)      bar.selected, bar.selecting; draw() shows the cells anew
//                                             bar.undo: what brings pictures back, at the foot of the window
//
// Shift selects a run, a long press begins selecting.
window.sugarWallBar = (wall, draw) => {
  const { make, button, press } = wallTools;
  const HOLD = 500, STILL = 10; // milliseconds of a long press, and pixels that a finger may move in it
  const node = make("div", "sugar-wall-bar");
  const undo = make("div", "sugar-wall-undo");
  undo.setAttribute("role", "status");
  const buttons = make("div", "sugar-wall-buttons");
  node.append(buttons);
  const selected = new Set();
  let anchor = null, ending = 0, holding = null, held = false;

  const clear = () => {
    selected.clear();
    bar.selecting = false;
  };
  const changed = () => {
    drawBar();
    draw();
    wall.act("select", [...selected]);
  };
  const toggle = (id, run) => {
    if (run && anchor !== null) {
      const [from, to] = [wall.ids.indexOf(anchor), wall.ids.indexOf(id)].sort((a, b) => a - b);
      wall.ids.slice(from, to + 1).forEach((one) => selected.add(one));
    } else if (!selected.delete(id)) selected.add(id);
    anchor = id;
    changed();
  };
  const leaving = (what, text) => () => {
    const gone = [...selected];
    clear();
    drawBar();
    wall.act(what, gone, text);
  };

  const targets = () => {
    const choice = make("select");
    choice.setAttribute("aria-label", wall.words.move);
    choice.append(new Option(wall.words.move, ""), ...wall.listing.targets.map((name) => new Option(name, name)));
    choice.addEventListener("change", () => leaving("move", choice.value)());
    return choice;
  };
  const drawBar = () => {
    const { words, can } = wall, parts = [];
    node.classList.toggle("selecting", bar.selecting);
    if (wall.ids.length && can("select")) {
      parts.push(button("", bar.selecting ? words.done : words.select, () => {
        const on = !bar.selecting;
        clear();
        bar.selecting = on;
        changed();
      }));
    }
    if (bar.selecting) {
      parts.push(button("", words.select_all, () => {
        wall.ids.forEach((id) => selected.add(id));
        changed();
      }));
    }
    if (bar.selecting && selected.size) {
      parts.push(make("span", "sugar-wall-count", words.selected.replace("{n}", selected.size)));
      if (can("edit")) parts.push(button("", words.favourite, () => wall.act("favourite", [...selected])));
      if (can("download")) {
        parts.push(button("", words.download, () => wall.trigger("download", { ids: [...selected] })));
      }
      if (can("edit") && wall.listing.targets.length) parts.push(targets());
      wall.listing.onward.forEach(([selector, text]) => parts.push(button("", text, () => press(selector))));
      if (can("edit")) {
        parts.push(button("stop", words.delete_selected, leaving("later")));
        parts.push(button("stop", words.delete_at_once, leaving("delete")));
      }
    }
    buttons.replaceChildren(...parts);
  };
  const drawUndo = () => {
    clearTimeout(ending);
    undo.replaceChildren();
    if (!wall.listing.leaving) return;
    undo.append(
      make("span", "", wall.words.leaving.replace("{n}", wall.listing.leaving)),
      button("", wall.words.undo, () => wall.act("undo", [])),
      button("stop", wall.words.delete_now, () => wall.act("finish", [])),
    );
    ending = setTimeout(() => undo.replaceChildren(), 10000);
  };

  const bar = {
    node, undo, selected, clear,
    selecting: false,
    // Whether a press on a cell selects it; otherwise it opens.
    takes(id, event) {
      if (held) {
        held = false;
        return true;
      }
      if (wall.can("select") && (event.shiftKey || event.ctrlKey || event.metaKey)) bar.selecting = true;
      if (bar.selecting) toggle(id, event.shiftKey);
      return bar.selecting;
    },
    longPresses(cells) {
      const end = () => clearTimeout(holding?.timer);
      cells.addEventListener("pointerdown", (event) => {
        const cell = event.target.closest("[data-pick]");
        held = false;
        if (!cell || event.pointerType === "mouse" || !wall.can("select")) return;
        const timer = setTimeout(() => {
          held = true;
          bar.selecting = true;
          toggle(Number(cell.dataset.pick), false);
        }, HOLD);
        holding = { timer, x: event.clientX, y: event.clientY };
      });
      cells.addEventListener("pointermove", (event) => {
        if (holding && Math.hypot(event.clientX - holding.x, event.clientY - holding.y) > STILL) end();
      });
      cells.addEventListener("pointerup", end);
      cells.addEventListener("pointercancel", end);
      cells.addEventListener("contextmenu", (event) => { if (held) event.preventDefault(); });
    },
    listed() {
      const here = new Set(wall.ids);
      [...selected].filter((id) => !here.has(id)).forEach((id) => selected.delete(id));
      drawBar();
      drawUndo();
    },
  };
  return bar;
};
