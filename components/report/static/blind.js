/* Blind review: two samples, their makers hidden; votes stay in this browser until they are exported. */
"use strict";
(() => {
  const { el, find, all, select, unique, range, number, remember, sheets, readList, starsOf } = Atelier;

  const VOTES = "atelier-votes";
  const SIDE = 336; // pixels of a side on the page
  const nameOf = (entry, manyRuns) => (manyRuns ? `${entry.run}/${entry.family}` : entry.family);

  // ---------------------------------------------------------------- votes

  const isSide = (side) => side && typeof side.run === "string" && typeof side.family === "string";
  const votesOf = (runs) => readList(VOTES).filter((vote) => vote && isSide(vote.left) && isSide(vote.right) && runs.includes(vote.left.run) && runs.includes(vote.right.run));
  const keep = (vote) => remember(VOTES, JSON.stringify([...readList(VOTES), vote]));
  const forget = (runs) => {
    const gone = new Set(votesOf(runs).map((vote) => JSON.stringify(vote)));
    remember(VOTES, JSON.stringify(readList(VOTES).filter((vote) => !gone.has(JSON.stringify(vote)))));
  };
  /* Wilson's score interval of a share of n, for 95 %. */
  const wilson = (share, n) => {
    const z = 1.959964, z2 = z * z / n, middle = (share + z2 / 2) / (1 + z2), half = (z / (1 + z2)) * Math.sqrt((share * (1 - share)) / n + z2 / (4 * n));
    return [middle - half, middle + half];
  };
  /* Votes by pair, counted for the first of each pair; a tie is half a win. */
  const tally = (votes) => {
    const pairs = new Map();
    for (const { left, right, choice } of votes) {
      const sides = [left, right].map(({ run, family }) => JSON.stringify([run, family])), [a, b] = [...sides].sort(), key = `${a} ${b}`;
      const pair = pairs.get(key) || { a: JSON.parse(a), b: JSON.parse(b), n: 0, wins: 0, ties: 0 };
      pair.n += 1;
      if (choice === "tie") pair.ties += 1;
      else if (sides[choice === "left" ? 0 : 1] === a) pair.wins += 1;
      pairs.set(key, pair);
    }
    return [...pairs.values()].map((pair) => {
      const share = (pair.wins + pair.ties / 2) / pair.n, [low, high] = wilson(share, pair.n);
      return share >= 0.5 ? { ...pair, share, low, high } : { ...pair, a: pair.b, b: pair.a, wins: pair.n - pair.wins - pair.ties, share: 1 - share, low: 1 - high, high: 1 - low };
    });
  };
  const percent = (x) => `${Math.round(x * 100)} %`;
  const tallyTable = (votes, manyRuns) => {
    const name = ([run, family]) => (manyRuns ? `${run}/${family}` : family);
    const rows = tally(votes).map(({ a, b, n, wins, ties, share, low, high }) => el("tr", {}, el("th", { scope: "row" }, name(a)), el("td", {}, name(b)),
      el("td", { class: "n" }, percent(share), el("small", {}, `${percent(low)} to ${percent(high)}`)), el("td", { class: "n" }, number(wins)), el("td", { class: "n" }, number(ties)), el("td", { class: "n" }, number(n))));
    const heads = ["Preferred", "To", "Win rate", "Wins", "Ties", "Votes"].map((head, i) => el("th", { scope: "col", class: i > 1 ? "n" : null }, head));
    return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Votes" }, el("table", { class: "plain narrow" }, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows)));
  };
  const download = (name, value) => {
    const url = URL.createObjectURL(new Blob([JSON.stringify(value, null, 1)], { type: "application/json" }));
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  const exported = (runs, reviewer) => ({ kind: "atelier review", schema: 1, reviewer, exported: new Date().toISOString(), votes: votesOf(runs), stars: starsOf(runs) });

  // ---------------------------------------------------------------- a duel

  const gridOf = ({ samples, kept }) => samples.grids.find((grid) => grid.step === kept) || samples.grids[samples.grids.length - 1];
  const pairsOf = (entries) => entries.flatMap((a, i) => entries.slice(i + 1).filter((b) => b.task === a.task).map((b) => [a, b]));
  const random = (n) => Math.floor(Math.random() * n);
  /* Draws a pair, its sides, and the position of its samples. */
  const draw = (pairs, images) => {
    const [a, b] = pairs[random(pairs.length)], [left, right] = random(2) ? [a, b] : [b, a];
    const most = Math.min(a.samples.count || 1, b.samples.count || 1), shown = Math.min(images, most);
    return { left, right, images: shown, sample: random(Math.max(1, most - shown + 1)) };
  };
  const paintSide = async (canvas, entry, { sample, images }) => {
    const img = await sheets.loadImage(gridOf(entry).src), { resolution } = entry, across = Math.ceil(Math.sqrt(images));
    if (!img || !resolution) return;
    const { columns } = sheets.sheetSize(img, resolution), dpr = devicePixelRatio || 1, zoom = Math.max(1, Math.floor((SIDE * dpr) / across / resolution)), pitch = zoom * resolution + 2;
    canvas.width = canvas.height = across * pitch - 2;
    canvas.style.width = `${canvas.width / dpr}px`;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    for (const i of range(images)) {
      const tile = sample + i;
      pen.drawImage(img, (tile % columns) * resolution, Math.floor(tile / columns) * resolution, resolution, resolution, (i % across) * pitch, Math.floor(i / across) * pitch, pitch - 2, pitch - 2);
    }
  };
  const paintSource = async (canvas, entry, duel) => {
    const src = entry.samples.given || entry.samples.originals, img = src && duel.images === 1 ? await sheets.loadImage(src) : null;
    canvas.hidden = !img;
    if (img) sheets.paintTile(canvas, img, entry.resolution, duel.sample, SIDE / 2);
  };
  const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" };

  /* Without two families of a task there is nothing to vote on; votes that were imported stay. */
  const hideSection = (section) => {
    if (find("table", section)) return;
    section.hidden = true;
    for (const link of all(`nav a[href="#${section.id}"]`)) link.hidden = true;
  };
  const blind = (place, entries) => {
    const pairs = pairsOf(entries), runs = unique(entries.map((entry) => entry.run)), manyRuns = runs.length > 1;
    if (!pairs.length) { hideSection(place.closest("section")); return; }
    const state = { pair: "any", images: 1, duel: null }, stage = el("div", { class: "duel", hidden: true }), result = el("div"), said = el("p", { class: "muted", role: "status" });
    const canvases = { left: el("canvas", { role: "img", "aria-label": "Left sample" }), source: el("canvas", { role: "img", "aria-label": "Source of both" }), right: el("canvas", { role: "img", "aria-label": "Right sample" }) };
    const next = () => {
      state.duel = draw(state.pair === "any" ? pairs : [pairs[Number(state.pair)]], state.images);
      for (const side of ["left", "right"]) paintSide(canvases[side], state.duel[side], state.duel);
      paintSource(canvases.source, state.duel.left, state.duel);
      said.textContent = `${number(votesOf(runs).length)} votes so far. Which is better? Keys: left, right, down for a tie.`;
    };
    const vote = (choice) => {
      const { left, right, sample, images } = state.duel, side = (entry) => ({ run: entry.run, family: entry.family, step: gridOf(entry).step });
      keep({ left: side(left), right: side(right), sample, images, choice, when: new Date().toISOString() });
      refresh();
      next();
    };
    const button = (label, choice) => el("button", { type: "button", onclick: () => vote(choice) }, label);
    const figure = (side, label) => el("figure", {}, el("button", { type: "button", class: "tile", "aria-label": label, onclick: () => vote(side) }, canvases[side]));
    stage.append(el("div", { class: "sides" }, figure("left", "Left is better"), canvases.source, figure("right", "Right is better")), el("div", { class: "tools" }, button("← Left", "left"), button("Tie", "tie"), button("Right →", "right")), said);
    stage.addEventListener("keydown", (e) => { if (KEYS[e.key] && state.duel) { e.preventDefault(); vote(KEYS[e.key]); } });
    const start = el("button", { type: "button", onclick: () => {
      stage.hidden = !stage.hidden;
      stage.classList.toggle("duel-on", !stage.hidden);
      start.textContent = stage.hidden ? "Vote" : "Stop";
      refresh();
      if (stage.hidden) return;
      next();
      find("button", stage).focus();
    } }, "Vote");
    const reviewer = el("input", { type: "text", maxlength: 60, placeholder: "Your name, if you like", "aria-label": "Name of the reviewer", value: remember("atelier-reviewer") || "", oninput: () => remember("atelier-reviewer", reviewer.value) });
    const refresh = () => {
      const votes = votesOf(runs), any = votes.length > 0 || starsOf(runs).length > 0;
      for (const node of all("button", after)) node.disabled = !any;
      // Names stay hidden while votes are given: a tally would show who leads.
      result.replaceChildren(...(votes.length && stage.hidden ? [tallyTable(votes, manyRuns)] : []));
    };
    const clear = () => { forget(runs); refresh(); };
    const after = el("div", { class: "tools" }, reviewer, el("button", { type: "button", onclick: () => download(`review-${runs.length > 1 ? "runs" : runs[0]}.json`, exported(runs, reviewer.value)) }, "Export votes and stars"), el("button", { type: "button", onclick: clear }, "Delete my votes"));
    const names = pairs.slice(0, 200).map(([a, b], i) => [String(i), `${nameOf(a, manyRuns)} or ${nameOf(b, manyRuns)}`]);
    const change = (key, of = (x) => x) => (value) => { state[key] = of(value); if (!stage.hidden) next(); };
    place.append(el("div", { class: "tools" }, start, pairs.length > 1 ? select("Between", [["any", "any two"], ...names], "any", change("pair")) : null,
      select("Images", [["1", "1 each"], ["9", "9 each"]], "1", change("images", Number))), stage, result, after);
    refresh();
  };

  Object.assign(Atelier, { blind });
})();
