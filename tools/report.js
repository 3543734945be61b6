/*
 * The page of `fsmeta report`: makes charts and lists of the data in the page.
 *
 * The data, as tools/report_json.c writes it.  Kinds are numbers (see `kinds` below), times are seconds
 * since 1970 or null, sizes are bytes; names are text to be shown, quoted where they would not show.
 *
 *   older, newer         generations compared; older is 0 where there is none before
 *   lines, outerLines    how many changes there are, and how many are not inside of a folder that came or went
 *   source               program, and where known machine, mount, root, id
 *   counts, bytes        what changed, by kind;  before: what modified files had
 *   generations          [number, finished, entries, files, bytes, carried, unreadable, pruned], oldest first
 *   steps                {older, newer, counts, bytes, before} of the last generations, oldest first
 *   tree                 largest places, each after the one it is in: {name, type, in, size, entries, unknown,
 *                        whole, counts, bytes}; what changed in a place that is in no place below it
 *   unknown              {entries, bytes, total, places: [path, since, reason]}
 *   churn                [rule, count, seconds, rounded] of changes that mean nothing and are in no other number
 *   archive              {streams: [path, layout], stretches: [stream, generation, event, from, to, pieces], sentences: [stream,
 *                        generation, rank, asked, text], leftOut}; a rank is 1 for an alarm, 2 for what stands out, else 0; the event "covered" is what there is in the newer generation, all
 *                        others are of the last steps; asked are the sentences of the generations compared
 *   changes              pieces with a letter a change in `kind` and `type`; a value a change in `folder`, `name`, `size`,
 *                        `mtime`; [change, value] of those that have one in `oldSize`, `entries`, `oldMtime`, `from`, `note`; and
 *                        the `folders` that came up, [in, name], numbered through all pieces.  A folder that changed
 *                        is itself its `folder`, and has no name.
 *
 * All text goes into the page as textContent or as the value of an attribute that is no address and no script.
 *
 * The list of changes.  Changes come in the order of their paths, so folders and changes are
 * one array of items in which a folder stands in front of all that is in it, up to `end`:
 *
 *     items    cam1  a  b  cam2  new  x  y  z
 *     end       3          8     7
 *
 * Folding and searching make the array of visible items anew in one pass, which steps over what is
 * folded and what has no hit in it; of that, only those rows are elements that are in the window.
 */
"use strict";
(function () {
  const element = document.getElementById("data");
  const data = JSON.parse(element.textContent);
  element.remove();

  const ADDED = 1, REMOVED = 2, MODIFIED = 3, MOVED = 4, CORRUPTED = 5, UNREADABLE = 6, UNKNOWN = 7;
  const kinds = [
    null,
    { letter: "A", word: "added", look: "came" },
    { letter: "D", word: "removed", look: "went" },
    { letter: "M", word: "modified", look: "changed" },
    { letter: "R", word: "moved", look: "moved" },
    { letter: "!", word: "corrupted", look: "corrupted" },
    { letter: "U", word: "unreadable", look: "unknown" },
    { letter: "?", word: "unknown", look: "unknown" },
  ];
  const kindOfLetter = { A: ADDED, D: REMOVED, M: MODIFIED, R: MOVED, "!": CORRUPTED, U: UNREADABLE, "?": UNKNOWN };

  /* ---- words and numbers --------------------------------------------------------- */

  const integers = new Intl.NumberFormat("en");
  const count = (value) => integers.format(value);
  const plural = (value, one, many) => count(value) + " " + (value === 1 ? one : many || one + "s");

  function size(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = 0, value = Math.abs(bytes);
    for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1024;
    const digits = unit && value < 9.95 ? 1 : 0;
    return (bytes < 0 ? "−" : "") + value.toFixed(digits) + " " + units[unit];
  }
  const signed = (bytes) => (bytes > 0 ? "+" : "") + size(bytes);

  function time(seconds) {
    return seconds === null ? "" : new Date(seconds * 1000).toISOString().replace("T", " ").replace(/:\d\d\.\d+Z$/, "");
  }
  function exactTime(seconds) {
    return seconds === null ? "a time unknown" : new Date(seconds * 1000).toISOString().replace("T", " ").replace(/\.\d+Z$/, "");
  }
  function duration(seconds) {
    if (seconds < 90) return plural(Math.round(seconds), "second");
    if (seconds < 5400) return plural(Math.round(seconds / 60), "minute");
    if (seconds < 129600) return plural(Math.round(seconds / 3600), "hour");
    return plural(Math.round(seconds / 86400), "day");
  }

  /* ---- elements ------------------------------------------------------------------- */

  const $ = (id) => document.getElementById(id);

  function make(tag, attributes, ...children) {
    const made = document.createElement(tag);
    return fill(made, attributes, children);
  }
  function draw(tag, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    return fill(made, attributes, children);
  }
  function fill(made, attributes, children) {
    for (const key in attributes) if (attributes[key] !== undefined) made.setAttribute(key, attributes[key]);
    made.append(...children);
    return made;
  }

  /** A table whose first `left` columns are words.  Cells are text or elements. */
  function table(heads, rows, left) {
    const cells = (tag, values) => values.map((value, i) =>
      make(tag, { class: i < left ? "left" : undefined, scope: tag === "th" ? "col" : undefined }, value));
    return make("table", {}, make("thead", {}, make("tr", {}, ...cells("th", heads))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells("td", row)))));
  }
  /** Fills a <details> with a table when it is opened for the first time. */
  function tableWhenOpened(details, build) {
    const open = () => {
      const place = details.querySelector(".wide");
      if (details.open && !place.firstChild) place.append(build());
    };
    details.addEventListener("toggle", open);
    open();
  }

  /* ---- generations ---------------------------------------------------------------- */

  const generations = data.generations.map((row) => ({
    number: row[0], finished: row[1], entries: row[2], files: row[3], bytes: row[4], carried: row[5],
    unreadable: row[6], pruned: row[7] === 1,
  }));
  const byNumber = new Map(generations.map((generation) => [generation.number, generation]));
  const newer = byNumber.get(data.newer);
  const older = byNumber.get(data.older);

  function nameOfSource() {
    const source = data.source;
    const parts = [source.mount, source.root].filter((part) => part && part !== "/");
    const path = parts.join("/").replace(/^(?!["/])/, "/");
    return path === "/" ? source.id || "/" : path;
  }
  const sourceName = nameOfSource();

  function showHeader() {
    document.title = sourceName + ": generation " + data.newer + " (fsmeta report)";
    $("title").textContent = sourceName;
    let span = "Generation " + data.newer + ", " + time(newer.finished) + " UTC";
    if (older) {
      span += ", compared with generation " + data.older;
      if (older.finished !== null && newer.finished > older.finished)
        span += ", " + duration(newer.finished - older.finished) + " before";
    }
    if (data.source.machine) span += "; scanned on " + data.source.machine;
    $("span").textContent = span;

    $("headline").append(make("strong", {}, size(newer.bytes)), " in " + plural(newer.files, "file"));
    if (older) $("headline").append(", ", make("strong", {}, signed(newer.bytes - older.bytes)), " since generation " + data.older);
    else $("headline").append("; nothing to compare with yet");
    $("made").textContent = "Made by fsmeta " + data.source.program +
      (data.source.id ? "; source " + data.source.id : "") + ". Times are UTC.";
    if (data.counts[CORRUPTED]) {
      $("alarm").hidden = false;
      $("alarm").textContent = plural(data.counts[CORRUPTED], "file is", "files are") +
        " corrupted: the content is not what it was, but size and time of modification are.";
    }
  }

  /* ---- what happened: one card a kind ----------------------------------------------- */

  const sum = (values, which) => which.reduce((total, kind) => total + values[kind], 0);

  const cards = [
    { look: "came", title: "Came", kinds: [ADDED] },
    { look: "went", title: "Went", kinds: [REMOVED] },
    { look: "changed", title: "Changed", kinds: [MODIFIED] },
    { look: "moved", title: "Moved", kinds: [MOVED] },
    { look: "unknown", title: "Unknown", kinds: [UNREADABLE, UNKNOWN] },
    { look: "corrupted", title: "Corrupted", kinds: [CORRUPTED] },
  ];

  /** Small bars, one a step, the newest at the right. */
  function spark(card, values, words) {
    const most = Math.max(...values, 0), slots = 30, height = 38;
    const svg = draw("svg", { viewBox: "0 0 " + slots * 6 + " " + height, preserveAspectRatio: "none", role: "img",
      "aria-label": values.length ? card.title + " in the last " + plural(values.length, "step") + ": " + words.join("; ")
        : "No generations to compare" });
    svg.append(draw("rect", { class: "floor", x: 0, y: height - 1, width: slots * 6, height: 1 }));
    values.forEach((value, i) => {
      const x = (slots - values.length + i) * 6;
      const h = value ? Math.max(2, value / most * (height - 1)) : 0;
      svg.append(draw("g", {}, draw("title", {}, words[i]),
        draw("rect", { x: x, y: 0, width: 6, height: height, fill: "transparent" }),
        draw("rect", { class: i === values.length - 1 ? "bar last" : "bar", x: x + 1, y: height - h, width: 4, height: h })));
    });
    return svg;
  }

  /** Unknown is a state, not an event: what the archive holds and nobody looked at. */
  function showUnknownCard(card, steps) {
    const values = steps.map((step) => byNumber.get(step.newer).carried);
    const words = steps.map((step, i) => "generation " + step.newer + ": " + plural(values[i], "entry", "entries"));
    const news = [[UNREADABLE, " unreadable"], [UNKNOWN, " not looked at"]].filter((pair) => data.counts[pair[0]])
      .map((pair) => count(data.counts[pair[0]]) + pair[1]).join(", ");
    addCard(card, data.unknown.entries, data.unknown.entries ? size(data.unknown.bytes) + " as last seen" : "",
      spark(card, values, words), news ? "new: " + news : "nothing new");
  }

  function addCard(card, number, amount, chart, past) {
    $("cards").append(make("li", { class: "card " + card.look + (number ? "" : " nothing") },
      make("h3", {}, card.title), make("p", { class: "number" }, count(number)),
      make("p", { class: "amount" }, amount), chart, make("p", { class: "past" }, past)));
  }

  function showCards() {
    const steps = data.steps;
    for (const card of cards) {
      if (card.look === "unknown") { showUnknownCard(card, steps); continue; }
      const inAll = steps.reduce((total, step) => total + sum(step.counts, card.kinds), 0);
      if (card.look === "corrupted" && !inAll && !data.counts[CORRUPTED]) continue;
      const bytes = steps.map((step) => sum(step.bytes, card.kinds));
      const counts = steps.map((step) => sum(step.counts, card.kinds));
      const values = bytes.some((value) => value) ? bytes : counts;
      const words = steps.map((step, i) =>
        "generation " + step.newer + ": " + plural(counts[i], "entry", "entries") + ", " + size(bytes[i]));
      let amount = sum(data.counts, card.kinds) ? size(sum(data.bytes, card.kinds)) : "";
      if (card.look === "changed" && data.bytes[MODIFIED]) amount += " (" + signed(data.bytes[MODIFIED] - data.before) + ")";
      addCard(card, sum(data.counts, card.kinds), amount, spark(card, values, words), steps.length < 2 ? "" :
        "last " + steps.length + ": " + (inAll ? count(inAll) + ", " + size(bytes.reduce((a, b) => a + b, 0)) : "none"));
    }
    $("steps").hidden = !steps.length;
    $("steps").firstChild.textContent = steps.length === 1 ? "The last step as a table"
      : "The last " + steps.length + " steps as a table";
    tableWhenOpened($("steps"), () => table(
      ["Generation", "Finished", "Added", "Removed", "Modified", "Moved", "Corrupted", "Unreadable", "Unknown"],
      steps.slice().reverse().map((step) => [String(step.newer), time(byNumber.get(step.newer).finished)]
        .concat([ADDED, REMOVED, MODIFIED, MOVED, CORRUPTED, UNREADABLE, UNKNOWN].map((kind) =>
          step.counts[kind] ? count(step.counts[kind]) + " (" + size(step.bytes[kind]) + ")" : "–"))), 2));
  }

  function showUnknown() {
    const unknown = data.unknown;
    if (!unknown.total) return;
    $("unknown").hidden = false;
    $("unknown").firstChild.textContent = plural(unknown.total, "place") + " could not be looked at: " +
      plural(unknown.entries, "entry", "entries") + ", " + size(unknown.bytes) + ", are kept as last seen, not taken for removed";
    tableWhenOpened($("unknown"), () => table(["Path", "Reason", "Since generation"],
      unknown.places.map((place) => [place[0], place[2], String(place[1])]), 2));
  }

  /** One sentence for each cause that made very many changes which mean nothing. */
  function showChurn() {
    const words = {
      times: (seconds, rounded) => "all times are" + (seconds ? " " + count(Math.abs(seconds)) + " s " +
        (seconds > 0 ? "later" : "earlier") : "") + (rounded ? (seconds ? " and" : "") + " rounded to two seconds" : ""),
      numbers: () => "inode or device numbers are others",
      owners: () => "owners or groups are others, one for one",
      names: () => "names are written in another way, letter for letter the same",
    };
    for (const [rule, changed, seconds, rounded] of data.churn)
      $("churn").append(make("li", {}, plural(changed, "entry differs", "entries differ") + " by one cause that means nothing, and " +
        (changed === 1 ? "is" : "are") + " not counted as changed: " + (words[rule] ? words[rule](seconds, rounded) : rule) + "."));
    $("churn").hidden = !data.churn.length;
  }

  /* ---- recordings: a line a stream, what it covers and what happened to it ---------------- */

  const ROWS = 60;
  /** Pixels of what the pointer can rest on. */
  const TARGET = 3;
  const archive = data.archive;
  const streams = archive.streams.map(([path, layout]) => ({ path: path, layout: layout, stretches: [], alarms: 0 }));
  const eventWords = {
    covered: "there", recorded: "recorded", rotated: "rotated out", lost: "lost", altered: "changed after it was sealed",
    orphaned: "without counterpart", recovered: "recovered", sealed: "completed", grew: "grew",
  };
  const eventMarks = { altered: "corrupted", orphaned: "went", recovered: "moved" };
  const noun = (stream) => stream.layout === "segments" ? "segment" : "file";

  function gatherStreams() {
    for (const [stream, generation, event, from, to, pieces] of archive.stretches)
      streams[stream].stretches.push({ generation: generation, event: event, from: from, to: to, pieces: pieces });
    for (const sentence of archive.sentences) if (sentence[2] === 1) streams[sentence[0]].alarms++;
    for (const stream of streams) {
      const covered = stream.stretches.filter((stretch) => stretch.event === "covered");
      stream.hours = covered.reduce((total, stretch) => total + stretch.to - stretch.from, 0) / 3600;
      stream.covered = covered;
    }
  }

  const isSame = (one, other) => one.generation === other.generation && one.rank === other.rank && one.text === other.text;
  /** Sentences, those that are equal as one with all their streams. */
  function groupSentences(wanted) {
    const groups = [];
    for (const [stream, generation, rank, asked, text] of archive.sentences) {
      const sentence = { generation: generation, rank: rank, text: text, streams: [streams[stream].path] };
      if (!wanted(sentence, asked)) continue;
      const group = groups.find((other) => isSame(other, sentence));
      if (group) group.streams.push(streams[stream].path); else groups.push(sentence);
    }
    return groups;
  }
  function namesOf(list) {
    const names = list.slice().sort();
    return names.length < 5 ? names.join(", ") : names.slice(0, 3).join(", ") + " and " + count(names.length - 3) + " more";
  }
  const item = (group, look) => make("li", { class: look }, make("b", {}, namesOf(group.streams)), ": " + group.text);

  function showSentences() {
    const groups = groupSentences((sentence, asked) => asked);
    const alarms = groups.filter((group) => group.rank).sort((a, b) => a.rank - b.rank), usual = groups.filter((group) => !group.rank);
    const usualStreams = usual.reduce((total, group) => total + group.streams.length, 0);
    for (const group of alarms) $("alarms").append(item(group, group.rank === 1 ? "went" : "changed"));
    if (usual.length && usual.length <= 3 && usualStreams) {
      for (const group of usual) $("alarms").append(item(group, "came"));
    } else if (usual.length) {
      $("usual").firstChild.textContent = plural(usualStreams, "stream") + (alarms.length ? " as usual" : ", all as usual");
      $("usual").lastChild.append(...usual.map((group) => item(group)));
    }
    $("usual").hidden = usual.length <= 3;
    if (!groups.length && data.older) $("alarms").append(make("li", { class: "came" }, "Nothing happened to them."));
  }

  function showEvents() {
    const isStep = new Set(data.steps.map((step) => step.newer));
    const news = groupSentences((sentence) => sentence.rank && isStep.has(sentence.generation)).sort((a, b) => b.generation - a.generation);
    $("events").hidden = !news.length;
    $("events").firstChild.textContent = "What stood out in the last " + plural(data.steps.length, "step") + ": " + count(news.length);
    tableWhenOpened($("events"), () => table(["Generation", "Finished", "Streams", "What"],
      news.map((group) => [String(group.generation), time(byNumber.get(group.generation).finished), namesOf(group.streams), group.text]), 4));
  }

  /** Days, or hours of few days, so that at most `lines` of them are in `seconds`. */
  function timeStep(seconds, lines) {
    for (const step of [3600, 7200, 21600, 43200, 86400, 172800, 432000, 864000, 1728000, 2592000, 7776000, 15552000])
      if (seconds / step <= lines) return step;
    return 31536000 * Math.max(1, Math.ceil(seconds / 31536000 / lines));
  }
  /** The end of a path is what tells streams apart. */
  const shorten = (path, letters) => path.length > letters ? "…" + path.slice(1 - letters) : path;

  /** All stretches as one path: a camera that waits for motion has thousands, which as elements of their own cost more than
   * the rest of the page. */
  function drawBars(svg, stretches, attributes, least, x, y, height) {
    const bars = stretches.map((stretch) => {
      const left = x(stretch.from), width = Math.max(least, x(Math.max(stretch.to, stretch.from)) - left);
      return "M" + left.toFixed(2) + "," + y + "h" + width.toFixed(2) + "v" + height + "H" + left.toFixed(2) + "Z";
    });
    if (bars.length) svg.append(draw("path", { ...attributes, d: bars.join("") }));
  }
  /** Those that the pointer can tell from the one before of the same kind. */
  function* toldApart(stretches, x) {
    const before = {};
    for (const stretch of stretches) {
      const left = x(stretch.from), last = before[stretch.event];
      if (left >= last && x(Math.max(stretch.to, stretch.from)) <= last + TARGET) continue;
      before[stretch.event] = left;
      yield stretch;
    }
  }
  /** What cannot be seen by its width, and what is told when the pointer rests on it. */
  function drawMarks(svg, stream, stretch, x, y, height) {
    const left = x(stretch.from), width = Math.max(TARGET, x(Math.max(stretch.to, stretch.from)) - left);
    if (stretch.event === "recorded") svg.append(draw("line", { class: "notch", x1: left, x2: left, y1: y, y2: y + height }));
    if (eventMarks[stretch.event]) svg.append(draw("path", { class: "mark " + eventMarks[stretch.event],
      d: "M" + (left - 5) + "," + (y - 2) + "h10l-5,8Z" }));
    svg.append(draw("rect", { class: "target", x: left, y: y, width: width, height: height },
      draw("title", {}, stream.path + "\n" + exactTime(stretch.from) + " to " + exactTime(stretch.to) + "\n" +
        plural(stretch.pieces, noun(stream)) + " " + eventWords[stretch.event] +
        (stretch.generation ? " in generation " + stretch.generation : ""))));
  }

  /** Streams that are drawn: all, or those with most alarms, in the order of their names. */
  function drawnStreams() {
    const timed = streams.filter((stream) => stream.stretches.length);
    return timed.sort((a, b) => b.alarms - a.alarms || (a.path < b.path ? -1 : 1)).slice(0, ROWS)
      .sort((a, b) => a.path < b.path ? -1 : 1);
  }
  function drawCoverage() {
    const shown = drawnStreams();
    const all = shown.flatMap((stream) => stream.stretches);
    if (!all.length) { $("coverage").replaceChildren(); return; }
    /* Cameras that wait for motion have more stretches than a call can have arguments. */
    const from = all.reduce((least, stretch) => Math.min(least, stretch.from), Infinity);
    const to = all.reduce((most, stretch) => Math.max(most, stretch.to), from + 3600);
    const width = Math.max(280, Math.floor($("coverage").clientWidth));
    const narrow = width < 480;
    const letters = Math.min(Math.max(...shown.map((stream) => stream.path.length)), narrow ? 14 : 26);
    const left = 14 + letters * 7, right = 12, line = shown.length <= 8 ? 24 : shown.length <= 30 ? 18 : 13, top = 4;
    const height = top + shown.length * line + 24, bar = line - 5;
    const x = (seconds) => left + (width - left - right) * (seconds - from) / (to - from);
    const svg = draw("svg", { viewBox: "0 0 " + width + " " + height, height: height, role: "img" },
      draw("title", {}, "Time covered by each stream, " + exactTime(from) + " to " + exactTime(to)),
      draw("desc", {}, "A line for each of " + plural(shown.length, "stream") + ": what is there is solid, what was rotated out is pale, what " +
        "was lost is hatched, gaps are empty. The table below says the same."),
      draw("defs", {}, draw("pattern", { id: "lost-hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        draw("line", { class: "hatch", x1: 0, y1: 0, x2: 0, y2: 6 }))));
    const step = timeStep(to - from, Math.max(2, Math.floor((width - left) / (narrow ? 56 : 90))));
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const name = step < 86400 ? time(at).slice(5) : time(at).slice(narrow ? 5 : 0, 10);
      svg.append(draw("line", { class: "grid", x1: x(at), x2: x(at), y1: top, y2: height - 20 }));
      if (x(at) > left + 14 && x(at) < width - (narrow ? 16 : 30)) svg.append(draw("text", { x: x(at), y: height - 6, "text-anchor": "middle" }, name));
    }
    shown.forEach((stream, i) => {
      const y = top + i * line + 2;
      svg.append(draw("text", { class: "stream", x: left - 8, y: y + bar / 2 + 4, "text-anchor": "end" },
        shorten(stream.path, letters), draw("title", {}, stream.path)),
        draw("rect", { class: "track", x: left, y: y, width: width - left - right, height: bar }));
      const of = (event) => stream.stretches.filter((stretch) => stretch.event === event);
      drawBars(svg, of("rotated"), { class: "past" }, 1, x, y, bar);
      drawBars(svg, of("lost"), { class: "hatch-ground" }, 4, x, y, bar);
      drawBars(svg, of("lost"), { class: "lost", fill: "url(#lost-hatch)" }, 4, x, y, bar);
      drawBars(svg, of("covered"), { class: "covered" }, 1, x, y, bar);
      for (const stretch of toldApart(stream.stretches, x))
        if (!["grew", "sealed"].includes(stretch.event)) drawMarks(svg, stream, stretch, x, y, bar);
    });
    $("coverage").replaceChildren(svg);
    const timed = streams.filter((stream) => stream.stretches.length).length;
    if (timed > shown.length) $("coverage").append(make("p", { class: "legend" },
      "Shown are " + count(shown.length) + " of " + plural(timed, "stream") + ", those to which something happened first; the table has all."));
  }

  function showArchive() {
    $("archive").hidden = !streams.length;
    if (!streams.length) return;
    gatherStreams();
    showSentences();
    showEvents();
    const has = (event) => archive.stretches.some((stretch) => stretch[2] === event);
    const legend = [["came", "there"], ["past", "rotated out", "rotated"], ["lost", "lost", "lost"], ["corrupted point", "changed late", "altered"],
      ["went point", "without counterpart", "orphaned"], ["moved point", "recovered", "recovered"]].filter((entry) => !entry[2] || has(entry[2]));
    if (archive.stretches.length) $("coverage-legend").append("Time that each stream covers; notches are generations, gaps are empty:",
      ...legend.map((entry) => make("span", {}, make("i", { class: "swatch " + entry[0] }), entry[1])));
    drawCoverage();
    let width = $("coverage").clientWidth;
    new ResizeObserver(() => {
      if (Math.abs($("coverage").clientWidth - width) > 8) { width = $("coverage").clientWidth; drawCoverage(); }
    }).observe($("coverage"));
    const timed = streams.filter((stream) => stream.stretches.length).sort((a, b) => a.path < b.path ? -1 : 1);
    $("coverage-table").hidden = !timed.length;
    tableWhenOpened($("coverage-table"), () => table(
      ["Stream", "From", "To", "Hours", "Gaps", "Rotated out", "Lost", "Changed late", "Recovered"],
      timed.map((stream) => {
        const covered = stream.covered, last = covered[covered.length - 1];
        const of = (event) => stream.stretches.reduce((total, stretch) => total + (stretch.event === event ? stretch.pieces : 0), 0);
        return [stream.path, covered.length ? time(covered[0].from) : "–", covered.length ? time(last.to) : "–", stream.hours.toFixed(1),
          count(Math.max(0, covered.length - 1))].concat(["rotated", "lost", "altered", "recovered"].map((event) => of(event) ? count(of(event)) : "–"));
      }), 1));
  }

  /* ---- where: the map --------------------------------------------------------------- */

  const bandKinds = [CORRUPTED, ADDED, MODIFIED, MOVED, UNKNOWN];

  /** Places as a tree, each with what changed in all of it. */
  function makePlaces() {
    const places = data.tree.map((place) => ({
      name: place.name, type: place.type, size: place.size, entries: place.entries, whole: place.whole,
      above: null, below: [], own: shares(place), all: shares(place), unknown: place.unknown, path: "",
    }));
    data.tree.forEach((place, i) => {
      if (place.in < 0) return;
      const above = places[place.in];
      places[i].above = above;
      places[i].path = above.path + place.name + (place.type === 2 ? "/" : "");
      if (above.whole) places[i].whole = above.whole;
      above.below.push(places[i]);
    });
    for (let i = places.length - 1; i >= 0; i--) {
      const place = places[i];
      for (let kind = 1; place.above && kind < 8; kind++) {
        place.above.all.bytes[kind] += place.all.bytes[kind];
        place.above.all.counts[kind] += place.all.counts[kind];
      }
      /* Of what is unknown the sum is given; what is in no place below is left. */
      place.all.bytes[UNKNOWN] = place.unknown;
      place.own.bytes[UNKNOWN] = place.unknown - place.below.reduce((total, below) => total + below.unknown, 0);
    }
    /* Room is given to what is there and to what went. */
    for (const place of places) place.weight = place.size + place.all.bytes[REMOVED];
    for (const place of places) place.below.sort((a, b) => b.weight - a.weight);
    return places;
  }
  function shares(place) {
    const bytes = place.bytes.slice();
    bytes[UNKNOWN] = 0;
    return { bytes: bytes, counts: place.counts.slice() };
  }
  const places = makePlaces();

  /** Squarified treemap (Bruls, Huizing, van Wijk, 2000): items with `weight`, largest first. */
  function squarify(items, x, y, width, height, place) {
    let rest = items.reduce((total, item) => total + item.weight, 0);
    let start = 0;
    while (start < items.length && rest > 0 && width > 0 && height > 0) {
      const short = Math.min(width, height), scale = width * height / rest;
      let end = start, area = 0, best = Infinity;
      while (end < items.length) {
        const grown = area + items[end].weight * scale;
        const side = grown / short;
        const worst = Math.max(items[start].weight * scale / side / side, side * side / (items[end].weight * scale || 1e-9));
        if (worst > best) break;
        best = worst;
        area = grown;
        end++;
      }
      const side = area / short;
      let at = 0;
      for (let i = start; i < end; i++) {
        const length = area ? items[i].weight * scale / side : 0;
        if (width >= height) place(items[i], x, y + at, side, length);
        else place(items[i], x + at, y, length, side);
        at += length;
        rest -= items[i].weight;
      }
      if (width >= height) { x += side; width -= side; } else { y += side; height -= side; }
      start = end;
    }
  }

  function wordsOfPlace(name, bytes, entries, changes) {
    const parts = [[ADDED, "came"], [REMOVED, "went"], [MODIFIED, "changed"], [MOVED, "moved"], [CORRUPTED, "corrupted"], [UNKNOWN, "unknown"]]
      .filter((pair) => changes.bytes[pair[0]]).map((pair) => size(changes.bytes[pair[0]]) + " " + pair[1]);
    return name + "\n" + size(bytes) + (entries ? ", " + plural(entries, "entry", "entries") : "") +
      (parts.length ? "\n" + parts.join(", ") : "\nnothing changed");
  }

  function label(text, x, y, width, look) {
    const room = Math.floor((width - 8) / 6.6);
    if (room < Math.min(text.length, 8)) return [];
    const shown = text.length > room ? text.slice(0, room - 1) + "…" : text;
    return [draw("text", { x: x + 4, y: y, class: look }, shown)];
  }

  /** A rectangle that is not divided: what changed of it is filled. */
  function drawLeaf(group, look, name, bytes, changes, whole, x, y, width, height) {
    const went = changes.bytes[REMOVED];
    const all = bytes + went;
    group.append(draw("rect", { class: look, x: x, y: y, width: width, height: height }));
    if (went && all) {
      const part = Math.min(height, Math.max(3, height * went / all));
      group.append(draw("rect", { class: "hatch-ground", x: x, y: y, width: width, height: part }),
        draw("rect", { fill: "url(#hatch)", x: x, y: y, width: width, height: part }));
    }
    let bottom = y + height;
    for (const kind of bandKinds) {
      const value = whole === kind ? bytes : Math.min(changes.bytes[kind], bytes);
      if (!value || !all) continue;
      const part = Math.min(bottom - y, Math.max(3, height * value / all));
      bottom -= part;
      group.append(draw("rect", { class: "band " + kinds[kind].look, x: x, y: bottom, width: width, height: part }));
    }
    group.append(draw("rect", { class: "outline", x: x, y: y, width: width, height: height }));
    const labelLook = bottom - y < 14 ? "over" : "";
    if (width > 42 && height > 17) group.append(...label(name, x, y + 13, width, labelLook));
    if (width > 56 && height > 34) group.append(...label(size(bytes || went), x, y + 27, width, labelLook));
  }

  function drawPlace(parent, place, name, x, y, width, height) {
    /* A folder that holds nothing but another one is shown as one with it. */
    while (place.below.length === 1 && place.below[0].weight === place.weight && place.below[0].type === 2) {
      place = place.below[0];
      name = (name ? name + "/" : "") + place.name;
    }
    const group = draw("g", { class: "place" },
      draw("title", {}, wordsOfPlace(place.path || sourceName, place.size, place.entries, place.all)));
    parent.append(group);
    if (place.path) group.addEventListener("click", (event) => {
      event.stopPropagation();
      searchFor(place.path);
    });
    const head = place.above ? 16 : 0, edge = place.above ? 2 : 0;
    if (!place.below.length || width < 44 || height < 40) {
      drawLeaf(group, "leaf", name, place.size, place.all, place.whole, x, y, width, height);
      return;
    }
    if (head) group.append(draw("rect", { class: "frame", x: x + .5, y: y + .5, width: width - 1, height: height - 1, rx: 2 }),
      ...label(name + "  " + size(place.size), x, y + 12.5, width, "folder"));
    const inner = place.below.slice();
    const rest = place.size - inner.reduce((total, below) => total + below.size, 0);
    if (rest > 0) inner.push({ weight: rest, look: "rest" });
    if (place.own.bytes[REMOVED]) inner.push({ weight: place.own.bytes[REMOVED], look: "gone" });
    inner.sort((a, b) => b.weight - a.weight);
    squarify(inner, x + edge, y + head + edge / 2, width - 2 * edge, height - head - edge * 1.5, (item, left, top, w, h) => {
      if (w < 1 || h < 1) return;
      if (item.look) drawRest(group, place, item, left, top, w, h);
      else drawPlace(group, item, item.name, left, top, w, h);
    });
    group.append(draw("rect", { class: "outline", x: x, y: y, width: width, height: height }));
  }
  /** What is in a folder but in no place of its own, and what went from there. */
  function drawRest(parent, place, item, x, y, width, height) {
    const isGone = item.look === "gone", bytes = isGone ? 0 : item.weight;
    const name = isGone ? "went" : "smaller";
    const changes = { bytes: place.own.bytes.map((value, kind) => (kind === REMOVED) === isGone ? value : 0) };
    const words = (isGone ? "from " : "smaller places in ") + (place.path || sourceName);
    const group = draw("g", {}, draw("title", {}, isGone ? words + "\n" + size(item.weight) + " went"
      : wordsOfPlace(words, bytes, 0, changes)));
    parent.append(group);
    drawLeaf(group, "rest", name, bytes, changes, place.whole, x, y, width, height);
  }

  function drawMap() {
    const width = Math.max(280, Math.floor($("map").clientWidth)), height = width < 480 ? 340 : 380;
    const svg = draw("svg", { viewBox: "0 0 " + width + " " + height, height: height, role: "img",
      "aria-label": "Map of the tree: rectangles as large as what they hold, filled as far as it changed; the table below says the same" });
    svg.append(draw("defs", {}, draw("pattern",
      { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      draw("line", { class: "hatch", x1: 0, y1: 0, x2: 0, y2: 6 }))));
    if (places.length && places[0].weight) drawPlace(svg, places[0], "", 0, 0, width, height);
    else svg.append(draw("text", { x: 8, y: 24 }, "There is nothing in it that has a size."));
    $("map").replaceChildren(svg);
  }

  function showMap() {
    $("map-legend").append("Area is size, filled is change:",
      ...[["came", "came"], ["changed", "changed"], ["moved", "moved"], ["went", "went (hatched)"], ["unknown", "unknown"]]
        .concat(data.counts[CORRUPTED] ? [["corrupted", "corrupted"]] : []).map((pair) =>
        make("span", {}, make("i", { class: "swatch " + pair[0] }), pair[1])));
    for (const swatch of $("map-legend").querySelectorAll(".swatch")) swatch.style.background = "var(--kind)";
    drawMap();
    let width = $("map").clientWidth;
    new ResizeObserver(() => {
      if (Math.abs($("map").clientWidth - width) > 8) { width = $("map").clientWidth; drawMap(); drawGrowth(); }
    }).observe($("map"));
    tableWhenOpened($("map-table"), () => {
      const shown = places.filter((place) => place.type === 2).sort((a, b) => b.size - a.size).slice(0, 60);
      const button = (place) => {
        const made = make("button", { type: "button" }, place.path || sourceName);
        if (place.path) made.addEventListener("click", () => searchFor(place.path));
        return made;
      };
      return table(["Folder", "Size", "Entries", "Came", "Went", "Changed", "Moved", "Unknown"],
        shown.map((place) => [button(place), size(place.size), count(place.entries)].concat(
          [ADDED, REMOVED, MODIFIED, MOVED, UNKNOWN].map((kind) => {
            const bytes = place.whole === kind ? place.size : place.all.bytes[kind];
            return bytes ? size(bytes) : "–";
          }))), 1);
    });
  }

  /* ---- growth ------------------------------------------------------------------------ */

  /** A round number of bytes so that at most `lines` of them reach `most`. */
  function roundStep(most, lines) {
    let unit = 1;
    while (most / unit / 1024 >= 1) unit *= 1024;
    for (let power = 1; ; power *= 10)
      for (const digit of [1, 2, 5]) if (digit * power * unit * lines >= most) return digit * power * unit;
  }

  function drawGrowth() {
    const width = Math.max(260, Math.floor($("growth").clientWidth)), height = width < 420 ? 260 : 340;
    const left = 64, right = 14, top = 12, bottom = 26;
    const most = generations.reduce((largest, generation) => Math.max(largest, generation.bytes), 1);
    const first = generations[0], last = generations[generations.length - 1];
    const byTime = generations.every((generation) => generation.finished !== null) && last.finished - first.finished > 60 * generations.length;
    const step = roundStep(most, 4), high = Math.ceil(most / step) * step;
    const from = byTime ? first.finished : 0, to = byTime ? last.finished : generations.length - 1;
    const x = (i) => to === from ? (left + width - right) / 2
      : left + (width - left - right) * ((byTime ? generations[i].finished : i) - from) / (to - from);
    const y = (bytes) => top + (height - top - bottom) * (1 - bytes / high);
    const svg = draw("svg", { viewBox: "0 0 " + width + " " + height, height: height, role: "img",
      "aria-label": "Bytes by generation, from " + size(first.bytes) + " to " + size(last.bytes) + "; the table below says the same" });
    for (let bytes = 0; bytes <= high; bytes += step)
      svg.append(draw("line", { class: "grid", x1: left, x2: width - right, y1: y(bytes), y2: y(bytes) }),
        draw("text", { x: left - 8, y: y(bytes) + 4, "text-anchor": "end" }, size(bytes)));
    const points = generations.map((generation, i) => x(i).toFixed(1) + "," + y(generation.bytes).toFixed(1));
    svg.append(
      draw("path", { class: "area", d: "M" + points.join("L") + "L" + x(generations.length - 1) + "," + y(0) + "L" + x(0) + "," + y(0) + "Z" }),
      draw("path", { class: "line", d: "M" + points.join("L") }));
    drawTargets(svg, x, y, top, height - top - bottom);
    generations.forEach((generation, i) => {
      if (generation === newer || generation === older)
        svg.append(draw("circle", { class: "end", cx: x(i), cy: y(generation.bytes), r: 4 }));
    });
    const name = (i) => byTime ? time(generations[i].finished).slice(0, 10) : "generation " + generations[i].number;
    svg.append(draw("text", { x: left, y: height - 8 }, name(0)));
    if (generations.length > 1)
      svg.append(draw("text", { x: width - right, y: height - 8, "text-anchor": "end" }, name(generations.length - 1)));
    $("growth").replaceChildren(svg);
  }
  /** Invisible strips that say what is below the pointer; of very many generations every n-th. */
  function drawTargets(svg, x, y, top, height) {
    const every = Math.ceil(generations.length / 400);
    for (let i = 0; i < generations.length; i += every) {
      const generation = generations[i];
      const before = i ? (x(i) + x(i - every)) / 2 : x(i) - 4;
      const behind = i + every < generations.length ? (x(i) + x(i + every)) / 2 : x(i) + 4;
      svg.append(draw("rect", { class: "target", x: before, y: top, width: Math.max(1, behind - before), height: height },
        draw("title", {}, "generation " + generation.number + ", " + time(generation.finished) + "\n" + size(generation.bytes) +
          ", " + plural(generation.entries, "entry", "entries") + (generation.pruned ? "\npruned" : ""))));
    }
  }

  function showGrowth() {
    const first = generations[0], last = generations[generations.length - 1];
    const grown = last.bytes - first.bytes;
    let words = plural(generations.length, "generation");
    if (generations.length > 1) {
      words += ", " + signed(grown);
      const seconds = last.finished !== null && first.finished !== null ? last.finished - first.finished : 0;
      if (seconds > 0) words += " in " + duration(seconds);
      if (seconds > 2 * 86400) words += ", " + signed(grown / seconds * 86400) + " a day";
    }
    $("growth-words").textContent = words;
    drawGrowth();
    tableWhenOpened($("growth-table"), () => table(["Generation", "Finished", "Entries", "Files", "Size", "Not looked at"],
      generations.slice(-1000).reverse().map((generation) => [
        generation.number + (generation.pruned ? " (pruned)" : ""), time(generation.finished), count(generation.entries),
        count(generation.files), size(generation.bytes), generation.carried ? count(generation.carried) : "–"]), 2));
  }

  /* ---- the changes: columns ------------------------------------------------------------ */

  const rows = data.changes.reduce((total, piece) => total + piece.kind.length, 0);
  const isCut = data.lines > rows;
  const rowKind = new Uint8Array(rows), rowType = new Array(rows), rowFolder = new Int32Array(rows);
  const rowName = new Array(rows), rowSize = new Float64Array(rows), rowTime = new Array(rows);
  const rowEntries = new Float64Array(rows);
  const rowOldSize = new Map(), rowOldTime = new Map(), rowFrom = new Map(), rowNote = new Map();
  const folderIn = [], folderName = [], folderPath = [];

  function unpack() {
    let at = 0;
    for (const piece of data.changes) {
      for (const folder of piece.folders) {
        folderPath.push((folder[0] < 0 ? "" : folderPath[folder[0]]) + folder[1] + "/");
        folderIn.push(folder[0]);
        folderName.push(folder[1]);
      }
      for (let i = 0; i < piece.kind.length; i++, at++) {
        rowKind[at] = kindOfLetter[piece.kind[i]];
        rowType[at] = piece.type[i];
        rowFolder[at] = piece.folder[i];
        rowName[at] = piece.name[i];
        rowSize[at] = piece.size[i];
        rowTime[at] = piece.mtime[i];
      }
      const start = at - piece.kind.length;
      for (const pair of piece.entries) rowEntries[start + pair[0]] = pair[1];
      for (const pair of piece.oldSize) rowOldSize.set(start + pair[0], pair[1]);
      for (const pair of piece.oldMtime) rowOldTime.set(start + pair[0], pair[1]);
      for (const pair of piece.from) rowFrom.set(start + pair[0], pair[1]);
      for (const pair of piece.note) rowNote.set(start + pair[0], pair[1]);
    }
    data.changes = null;
  }
  unpack();

  const pathOfRow = (row) => (rowFolder[row] < 0 ? "" : folderPath[rowFolder[row]]) + rowName[row];
  /** How many entries a row stands for, and what they add to the size of the whole. */
  const rowWeight = new Float64Array(rows).fill(1), rowNet = new Float64Array(rows);
  function weigh() {
    for (let row = 0; row < rows; row++) {
      const kind = rowKind[row], isFolder = rowType[row] === "d";
      const sign = kind === ADDED ? 1 : kind === REMOVED ? -1 : 0;
      /* Where what is inside has no rows of its own, the folder's stands for it. */
      if (sign ? isFolder && isCut : kind > MODIFIED) rowWeight[row] = 1 + rowEntries[row];
      if (rowType[row] === "f" || (isFolder && isCut)) rowNet[row] = sign * rowSize[row];
      if (kind === MODIFIED && rowOldSize.has(row)) rowNet[row] = rowSize[row] - rowOldSize.get(row);
    }
  }
  weigh();

  /* ---- the changes: items --------------------------------------------------------------- */

  const items = { row: [], folder: [], top: [], depth: [], end: [], place: [], siblings: [] };

  function buildItems() {
    const folders = folderName.length;
    const rowsIn = new Int32Array(folders), foldersIn = new Int32Array(folders);
    for (let row = 0; row < rows; row++) if (rowFolder[row] >= 0) rowsIn[rowFolder[row]]++;
    for (let folder = 0; folder < folders; folder++) if (folderIn[folder] >= 0) foldersIn[folderIn[folder]]++;
    /* One that holds a single folder and nothing else needs no line. */
    const isPassed = (folder) => !rowsIn[folder] && foldersIn[folder] === 1;

    const open = []; /* items of the folders around the row */
    const siblings = [[]];
    function add(row, folder, top) {
      const at = items.row.length;
      items.row.push(row);
      items.folder.push(folder);
      items.top.push(top);
      items.depth.push(open.length);
      items.end.push(at + 1);
      siblings[open.length].push(at);
      items.place.push(siblings[open.length].length);
      items.siblings.push(0);
      return at;
    }
    function close() {
      items.end[open.pop()] = items.row.length;
      endSiblings();
    }
    function endSiblings() {
      const list = siblings.pop();
      for (const at of list) items.siblings[at] = list.length;
    }
    function chainOf(folder) {
      const chain = [];
      for (; folder >= 0; folder = folderIn[folder]) if (!isPassed(folder)) chain.push(folder);
      return chain.reverse();
    }
    let chain = [], lastFolder = -1;
    for (let row = 0; row < rows; row++) {
      const folder = rowFolder[row];
      let entered = false;
      if (folder !== lastFolder) {
        const wanted = chainOf(folder);
        let common = 0;
        while (common < chain.length && common < wanted.length && chain[common] === wanted[common]) common++;
        while (open.length > common) close();
        for (let depth = common; depth < wanted.length; depth++) {
          let top = wanted[depth];
          while (folderIn[top] >= 0 && folderIn[top] !== (depth ? wanted[depth - 1] : -1)) top = folderIn[top];
          const at = add(-1, wanted[depth], top);
          open.push(at);
          siblings.push([]);
          entered = true;
        }
        chain = wanted;
        lastFolder = folder;
      }
      if (rowName[row] === "" && entered) items.row[open[open.length - 1]] = row;
      else add(row, -1, -1);
    }
    while (open.length) close();
    endSiblings();
  }
  buildItems();

  const itemCount = items.row.length;
  const isFolded = new Uint8Array(itemCount), isFoldedInSearch = new Uint8Array(itemCount);
  const isHit = new Uint8Array(rows);
  /* Sums up to each item, of what is hit. */
  const hitsBefore = new Int32Array(itemCount + 1);
  const kindsThere = [1, 2, 3, 4, 5, 6, 7].filter((kind) => data.counts[kind]);
  const countBefore = kinds.map((_, kind) => kindsThere.includes(kind) ? new Float64Array(itemCount + 1) : null);
  const netBefore = new Float64Array(itemCount + 1);
  let visible = new Int32Array(0);
  let isSearching = false;
  const foldState = () => isSearching ? isFoldedInSearch : isFolded;

  function addUp() {
    for (const kind of kindsThere) {
      const sums = countBefore[kind];
      for (let i = 0; i < itemCount; i++) {
        const row = items.row[i];
        sums[i + 1] = sums[i] + (row >= 0 && isHit[row] && rowKind[row] === kind ? rowWeight[row] : 0);
      }
    }
    for (let i = 0; i < itemCount; i++) {
      const row = items.row[i], hit = row >= 0 && isHit[row] === 1;
      hitsBefore[i + 1] = hitsBefore[i] + (hit ? 1 : 0);
      netBefore[i + 1] = netBefore[i] + (hit ? rowNet[row] : 0);
    }
  }

  function unfoldAsSaid() {
    const folded = foldState(), list = new Int32Array(itemCount);
    let length = 0;
    for (let i = 0; i < itemCount;) {
      if (items.folder[i] >= 0) {
        if (hitsBefore[items.end[i]] === hitsBefore[i]) { i = items.end[i]; continue; }
        list[length++] = i;
        i = folded[i] ? items.end[i] : i + 1;
      } else {
        if (hitsBefore[i + 1] > hitsBefore[i]) list[length++] = i;
        i++;
      }
    }
    visible = list.subarray(0, length);
  }

  /* ---- the changes: search ---------------------------------------------------------------- */

  let haystack = null, haystackStarts = null;

  /** All paths in one string, in lower case, each between two line ends, which names do not have. */
  function makeHaystack() {
    const parts = new Array(rows);
    haystackStarts = new Float64Array(rows + 1);
    let length = 1;
    for (let row = 0; row < rows; row++) {
      let text = pathOfRow(row).toLowerCase();
      if (rowFrom.has(row)) text += "\t" + rowFrom.get(row).toLowerCase();
      parts[row] = text;
      haystackStarts[row] = length;
      length += text.length + 1;
    }
    haystackStarts[rows] = length;
    haystack = "\n" + parts.join("\n") + "\n";
  }

  const shownKinds = new Set([1, 2, 3, 4, 5, 6, 7]);

  function markHits(query) {
    const words = query.toLowerCase().split(/\s+/).filter((word) => word);
    const first = words.sort((a, b) => b.length - a.length)[0];
    if (!first) {
      for (let row = 0; row < rows; row++) isHit[row] = shownKinds.has(rowKind[row]) ? 1 : 0;
      return;
    }
    if (!haystack) makeHaystack();
    isHit.fill(0);
    let row = 0;
    for (let at = haystack.indexOf(first); at >= 0;) {
      /* The row that holds it: usually one of the next. */
      let low = row, high = rows - 1;
      let stride = 1;
      for (; low + stride <= high && haystackStarts[low + stride] <= at; stride *= 2) low += stride;
      high = Math.min(high, low + stride - 1);
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (haystackStarts[middle] <= at) low = middle; else high = middle - 1;
      }
      row = low;
      const end = haystackStarts[row + 1];
      if (shownKinds.has(rowKind[row])) {
        const text = words.length > 1 ? haystack.slice(haystackStarts[row], end) : "";
        isHit[row] = words.length === 1 || words.every((word) => word === first || text.includes(word)) ? 1 : 0;
      }
      at = haystack.indexOf(first, end);
    }
  }

  function search() {
    const query = $("search").value;
    const began = performance.now();
    isSearching = query.trim() !== "";
    if (isSearching) isFoldedInSearch.fill(0);
    markHits(query);
    addUp();
    unfoldAsSaid();
    active = 0;
    tree.scrollTop = 0;
    render();
    showStatus();
    tree.dataset.query = query;
    tree.dataset.milliseconds = (performance.now() - began).toFixed(1);
  }
  function searchFor(path) {
    $("search").value = path;
    search();
    $("changes").scrollIntoView();
    tree.focus({ preventScroll: true });
  }

  function showStatus() {
    const hits = hitsBefore[itemCount];
    let words = hits === rows && !isCut ? plural(rows, "change") : count(hits) + " of " + plural(data.lines, "change");
    if (isSearching) words += " found";
    if (isCut) words += data.outerLines > rows ? "; the others are counted only, and listed by “fsmeta diff”"
      : "; what is inside of added and removed folders is counted only, and listed by “fsmeta diff”";
    if (!rows) words = data.older ? "Nothing changed." : "There is no generation before this one.";
    $("status").textContent = words;
  }

  /* ---- the changes: rows in the window ------------------------------------------------------ */

  const tree = $("tree"), rowsElement = $("rows");
  let active = 0, rowHeight = 30, poolFrom = -1, poolTo = -1;

  function nameOfItem(item) {
    const folder = items.folder[item];
    if (folder < 0) return rowName[items.row[item]] || (rowFolder[items.row[item]] < 0 ? "." : folderName[rowFolder[items.row[item]]] + "/");
    const top = items.top[item];
    return folderPath[folder].slice(folderIn[top] < 0 ? 0 : folderPath[folderIn[top]].length);
  }

  function noteOfRow(row) {
    const parts = [];
    if (rowFrom.has(row)) parts.push("from " + rowFrom.get(row));
    if (rowType[row] === "d" && rowKind[row] !== MODIFIED && rowEntries[row] && (rowKind[row] > MODIFIED || isCut))
      parts.push(plural(rowEntries[row], "entry", "entries"));
    if (rowOldSize.has(row)) parts.push(size(rowOldSize.get(row)) + " → " + size(rowSize[row]) +
      " (" + signed(rowSize[row] - rowOldSize.get(row)) + ")");
    if (rowOldTime.has(row)) parts.push("was of " + exactTime(rowOldTime.get(row)));
    if (rowNote.has(row)) parts.push(rowNote.get(row));
    return parts.join(", ");
  }

  /** +12 −3 ~4 of what is in a folder. */
  function countsOfItem(item) {
    const end = items.end[item];
    return [[ADDED, "+"], [REMOVED, "−"], [MODIFIED, "~"], [MOVED, "→"], [CORRUPTED, "!"], [UNREADABLE, "U"], [UNKNOWN, "?"]]
      .map((pair) => [pair[0], pair[1], countBefore[pair[0]] ? countBefore[pair[0]][end] - countBefore[pair[0]][item] : 0])
      .filter((entry) => entry[2])
      .map((entry) => make("span", { class: "count " + kinds[entry[0]].look, title: kinds[entry[0]].word },
        make("span", { class: "hidden-words" }, kinds[entry[0]].word + " "), entry[1] + count(entry[2])));
  }
  /** What can be folded: a folder alone cannot. */
  const hasInside = (item) => items.end[item] > item + 1;

  function makeRow(index) {
    const item = visible[index], row = items.row[item], isFolder = items.folder[item] >= 0, inside = hasInside(item);
    const kind = row >= 0 ? kinds[rowKind[row]] : null;
    const folded = foldState()[item] === 1, depth = items.depth[item];
    const line = make("div", {
      class: "row" + (isFolder ? " folder" : "") + (index === active ? " active" : ""), role: "treeitem", id: "row-" + index,
      "aria-level": depth + 1, "aria-setsize": items.siblings[item], "aria-posinset": items.place[item],
      "aria-expanded": inside ? String(!folded) : undefined, "aria-selected": String(index === active),
    });
    line.style.top = index * rowHeight + "px";
    line.style.paddingLeft = 6 + Math.min(depth, 14) * 16 + "px";
    line.append(make("span", { class: "twist", "aria-hidden": "true" }, inside ? (folded ? "▸" : "▾") : ""));
    line.append(kind ? make("span", { class: "letter " + kind.look, title: kind.word }, make("span", { "aria-hidden": "true" }, kind.letter),
      make("span", { class: "hidden-words" }, kind.word)) : make("span"));
    const path = row >= 0 ? pathOfRow(row) : folderPath[items.folder[item]];
    line.append(make("span", { class: "name", title: path }, nameOfItem(item)));
    const note = row >= 0 ? noteOfRow(row) : "";
    const words = make("span", { class: "note", title: note });
    if (note) words.append(make("span", {}, note));
    if (inside) words.append(...countsOfItem(item));
    line.append(words);
    const net = inside ? netBefore[items.end[item]] - netBefore[item] : 0;
    line.append(make("span", { class: "size" }, inside ? (net ? signed(net) : "")
      : rowType[row] === "f" || rowType[row] === "d" ? size(rowSize[row]) : ""));
    line.append(make("span", { class: "time" }, row >= 0 && !isFolder ? time(rowTime[row]) : ""));
    return line;
  }

  function render() {
    rowHeight = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
    rowsElement.style.height = visible.length * rowHeight + "px";
    tree.style.height = "min(72vh, " + Math.max(2, visible.length * rowHeight + 2) + "px)";
    poolFrom = poolTo = -1;
    renderWindow();
  }
  function renderWindow() {
    const from = Math.max(0, Math.floor(tree.scrollTop / rowHeight) - 10);
    const to = Math.min(visible.length, Math.ceil((tree.scrollTop + tree.clientHeight) / rowHeight) + 10);
    if (from === poolFrom && to === poolTo) return;
    const lines = [];
    for (let index = from; index < to; index++) lines.push(makeRow(index));
    rowsElement.replaceChildren(...lines);
    poolFrom = from;
    poolTo = to;
    if (active >= from && active < to) tree.setAttribute("aria-activedescendant", "row-" + active);
    else tree.removeAttribute("aria-activedescendant");
  }

  function toggle(index, fold) {
    const item = visible[index];
    if (item === undefined || !hasInside(item)) return;
    const folded = foldState();
    folded[item] = fold === undefined ? 1 - folded[item] : fold ? 1 : 0;
    unfoldAsSaid();
    render();
  }
  function foldAll(fold) {
    foldState().fill(fold ? 1 : 0);
    unfoldAsSaid();
    active = 0;
    tree.scrollTop = 0;
    render();
  }
  function goTo(index) {
    active = Math.max(0, Math.min(visible.length - 1, index));
    const top = active * rowHeight;
    if (top < tree.scrollTop) tree.scrollTop = top;
    else if (top + rowHeight > tree.scrollTop + tree.clientHeight) tree.scrollTop = top + rowHeight - tree.clientHeight;
    poolFrom = -1;
    renderWindow();
  }
  function goAbove() {
    const depth = items.depth[visible[active]];
    let index = active;
    while (index > 0 && items.depth[visible[index]] >= depth) index--;
    if (depth) goTo(index);
  }

  function onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !visible.length) return;
    const item = visible[active], isFolder = hasInside(item), isOpen = isFolder && !foldState()[item];
    const page = Math.max(1, Math.floor(tree.clientHeight / rowHeight) - 1);
    const keys = {
      ArrowDown: () => goTo(active + 1),
      ArrowUp: () => goTo(active - 1),
      PageDown: () => goTo(active + page),
      PageUp: () => goTo(active - page),
      Home: () => goTo(0),
      End: () => goTo(visible.length - 1),
      ArrowRight: () => isFolder && !isOpen ? toggle(active, false) : isOpen ? goTo(active + 1) : undefined,
      ArrowLeft: () => isOpen ? toggle(active, true) : goAbove(),
      Enter: () => toggle(active),
      " ": () => toggle(active),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  function showKinds() {
    for (let kind = 1; kind < 8; kind++) {
      if (!data.counts[kind]) continue;
      const button = make("button", { type: "button", class: kinds[kind].look, "aria-pressed": "true" },
        make("b", { "aria-hidden": "true" }, kinds[kind].letter), kinds[kind].word + " " + count(data.counts[kind]));
      button.addEventListener("click", () => {
        if (shownKinds.has(kind)) shownKinds.delete(kind); else shownKinds.add(kind);
        button.setAttribute("aria-pressed", String(shownKinds.has(kind)));
        search();
      });
      $("kinds").append(button);
    }
  }

  /** A page that is long enough to scroll begins with its folders closed. */
  function foldAtFirst() {
    if (itemCount <= 60) return;
    for (let item = 0; item < itemCount; item++) {
      const within = items.end[item] - item;
      if (items.folder[item] >= 0 && within > 12) isFolded[item] = 1;
    }
    /* The top folders are opened where that stays short. */
    let lines = 0;
    for (let item = 0; item < itemCount; item = items.end[item]) lines++;
    if (lines === 1 && items.folder[0] >= 0) isFolded[0] = 0;
  }

  /* ---- paper -------------------------------------------------------------------------------- */

  const PRINTED = 2000;

  function print() {
    const list = $("print");
    list.replaceChildren();
    let printed = 0, left = 0;
    for (let item = 0; item < itemCount; item++) {
      const row = items.row[item];
      if (row < 0 || !isHit[row]) continue;
      if (printed++ >= PRINTED) { left++; continue; }
      const note = noteOfRow(row);
      list.append(make("li", {}, kinds[rowKind[row]].letter + "  " + pathOfRow(row) + (note ? "  (" + note + ")" : "")));
    }
    if (left) list.append(make("li", {}, "and " + count(left) + " more"));
  }

  /* ---- all together --------------------------------------------------------------------------- */

  showHeader();
  showCards();
  showUnknown();
  showChurn();
  showArchive();
  showMap();
  showGrowth();
  showKinds();
  foldAtFirst();
  search();

  let waiting = 0;
  $("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, rows > 20000 ? 90 : 20);
  });
  $("controls").addEventListener("submit", (event) => { event.preventDefault(); search(); });
  $("fold").addEventListener("click", () => foldAll(true));
  $("unfold").addEventListener("click", () => foldAll(false));
  tree.addEventListener("scroll", renderWindow, { passive: true });
  tree.addEventListener("keydown", onKey);
  rowsElement.addEventListener("click", (event) => {
    const line = event.target.closest(".row");
    if (!line || String(getSelection())) return;
    active = Number(line.id.slice(4));
    toggle(active);
    goTo(active);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      $("search").focus();
    }
  });
  $("search").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") { event.preventDefault(); tree.focus(); }
  });
  window.addEventListener("resize", render);
  window.addEventListener("beforeprint", print);
  window.addEventListener("afterprint", () => $("print").replaceChildren());
  /* Paths for the first search are put together while nobody waits. */
  (window.requestIdleCallback || setTimeout)(() => { if (!haystack) makeHaystack(); });
  document.documentElement.dataset.ready = "yes";
})();
