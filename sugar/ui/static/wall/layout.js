// Where the cells of the wall stand: rows of equal height under a heading for each section.
const wallLayout = {
  GAP: 8, HEAD: 34, UNDER: 44, WIDTH: 148, LEAST: 72,

  // sections: [[label, [id, ...], in one line?], ...]. Gives {rows: [{top, tall, label} or {top, tall, size, ids}], ...}.
  rows(sections, width) {
    const { GAP, HEAD, UNDER, WIDTH, LEAST } = wallLayout;
    const columns = Math.max(2, Math.floor((width + GAP) / (WIDTH + GAP)));
    const fit = (n) => Math.floor((width - GAP * (n - 1)) / n);
    const rows = [];
    let top = 0;
    for (const [label, ids, inLine] of sections) {
      if (label) {
        rows.push({ top, tall: HEAD, label });
        top += HEAD;
      }
      const step = inLine ? ids.length : columns;
      const size = inLine ? Math.min(fit(columns), Math.max(LEAST, fit(step))) : fit(columns);
      for (let at = 0; at < ids.length; at += step) {
        rows.push({ top, tall: size + UNDER, size, ids: ids.slice(at, at + step) });
        top += size + UNDER + GAP;
      }
    }
    return { rows, columns, tall: top };
  },

  // The number of the first row that reaches below `above`, by bisection.
  first(rows, above) {
    let low = 0, high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].top + rows[middle].tall < above) low = middle + 1;
      else high = middle;
    }
    return low;
  },
};
