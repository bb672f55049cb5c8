// The strip at the side of a long wall: its months from top to bottom. A press or a drag goes there.
window.sugarScrubber = (wall, go) => {
  const { make, button } = wallTools;
  const APART = matchMedia("(pointer: coarse)").matches ? 48 : 26; // pixels between two labels
  const node = make("nav", "sugar-wall-scrubber"), bubble = make("span", "sugar-wall-bubble");
  let marks = [], tall = 1;

  const at = (event) => {
    const box = node.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientY - box.top) / box.height)) * tall;
  };
  const month = (top) => marks.findLast((one) => one.top <= top) ?? marks[0];
  const follow = (event) => {
    bubble.textContent = month(at(event))?.label ?? "";
    bubble.style.top = `${event.clientY - node.getBoundingClientRect().top}px`;
    if (event.buttons || event.pressure > 0) go(at(event));
  };
  node.addEventListener("pointermove", follow);
  node.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button")) return;
    node.setPointerCapture(event.pointerId);
    follow(event);
  });

  return {
    node,
    // rows of wallLayout; nothing is shown where the wall is short.
    show(rows, height, dated) {
      tall = height;
      marks = dated ? rows.flatMap((row) => row.heads.slice(0, 1).map(({ label }) => ({ label, top: row.top }))) : [];
      node.hidden = marks.length < 3 || height < 2 * window.innerHeight;
      node.setAttribute("aria-label", wall.words.months ?? "");
      const parts = [bubble], room = node.clientHeight || window.innerHeight * 0.8;
      const year = (label) => label.match(/\d{4}$/)?.[0] ?? label, years = new Set(marks.map(({ label }) => year(label)));
      const short = (label) => (years.size < 3 ? label.slice(0, 3) : year(label));
      let last = -Infinity, before = "";
      for (const { label, top } of node.hidden ? [] : marks) {
        const y = (top / tall) * room, text = short(label);
        if (y - last < APART || text === before) continue;
        last = y;
        before = text;
        const mark = button("", text, () => go(top));
        mark.title = label;
        mark.style.top = `${(100 * top) / tall}%`;
        parts.push(mark);
      }
      node.replaceChildren(...parts);
      wall.root.classList.toggle("scrubbed", !node.hidden);
    },
  };
};
