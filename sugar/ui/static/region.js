// Marking a region of an opened picture: drag with mouse or finger, or arrow keys, + and - on the keyboard.
// The region stands in data-box of the button beside it, as shares of the picture: left,top,right,bottom.
const region = {
  clamp: (v) => Math.min(1, Math.max(0, v)),

  show(frame, box) {
    const [left, top, right, bottom] = box.map(this.clamp);
    frame.dataset.box = [left, top, right, bottom].map((v) => v.toFixed(4)).join(",");
    const mark = frame.querySelector("i");
    Object.assign(mark.style, {
      display: "block",
      left: `${100 * left}%`,
      top: `${100 * top}%`,
      width: `${100 * (right - left)}%`,
      height: `${100 * (bottom - top)}%`,
    });
    const button = frame.parentElement.querySelector("[data-pick^='region:']");
    if (button) button.dataset.box = frame.dataset.box;
  },

  at(frame, event) {
    const around = frame.querySelector("img").getBoundingClientRect();
    return [(event.clientX - around.left) / around.width, (event.clientY - around.top) / around.height].map(this.clamp);
  },

  between: ([x, y], [u, v]) => [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)],

  // A click without a drag marks a square around the place.
  around: ([x, y]) => [x - 0.15, y - 0.15, x + 0.15, y + 0.15],

  moved(box, key) {
    const [left, top, right, bottom] = box;
    const step = 0.05;
    const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[key] ?? [0, 0];
    const grow = { "+": step, "-": -step }[key] ?? 0;
    const next = [left + dx - grow, top + dy - grow, right + dx + grow, bottom + dy + grow];
    const inside = next.every((v) => v >= -1e-9 && v <= 1 + 1e-9) || grow > 0;
    return inside && next[2] - next[0] >= 0.1 && next[3] - next[1] >= 0.1 ? next.map(this.clamp) : box;
  },
};

document.addEventListener("pointerdown", (event) => {
  const frame = event.target.closest?.(".sugar-region");
  if (!frame) return;
  event.preventDefault();
  frame.focus();
  const from = region.at(frame, event);
  const drag = (move) => region.show(frame, region.between(from, region.at(frame, move)));
  const end = (up) => {
    document.removeEventListener("pointermove", drag);
    const to = region.at(frame, up);
    const small = Math.abs(to[0] - from[0]) < 0.02 || Math.abs(to[1] - from[1]) < 0.02;
    region.show(frame, small ? region.around(from) : region.between(from, to));
  };
  document.addEventListener("pointermove", drag);
  document.addEventListener("pointerup", end, { once: true });
});

document.addEventListener("keydown", (event) => {
  const frame = event.target.closest?.(".sugar-region");
  if (!frame || !(event.key.startsWith("Arrow") || ["+", "-"].includes(event.key))) return;
  event.preventDefault();
  const box = frame.dataset.box ? frame.dataset.box.split(",").map(Number) : null;
  region.show(frame, box ? region.moved(box, event.key) : [0.35, 0.35, 0.65, 0.65]);
});
