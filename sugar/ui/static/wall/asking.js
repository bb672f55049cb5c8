// Asks the server for the cells in sight that are not here yet, each at most once in three seconds.
const wallAsking = (trigger, again) => {
  const asked = new Map();
  let waiting = 0;
  return {
    forget: () => asked.clear(),
    need(missing) {
      const now = Date.now();
      const fresh = missing.filter((id) => now - (asked.get(id) ?? 0) > 3000).slice(0, 120);
      if (!fresh.length) return;
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        fresh.forEach((id) => asked.set(id, Date.now()));
        trigger("need", { ids: fresh });
        setTimeout(again, 3200);
      }, 60);
    },
  };
};
