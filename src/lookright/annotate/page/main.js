// Puts the page together.

import { Accept } from "./accept.js";
import { addressed, enter, hasBefore, moved } from "./address.js";
import { Agreement } from "./agreement.js";
import * as api from "./api.js";
import { Compare } from "./compare.js";
import { Controls } from "./controls.js";
import { Correction } from "./correct.js";
import { CrossHair } from "./crosshair.js";
import { byId, percent, say } from "./dom.js";
import { Drawer } from "./drawer.js";
import { Editor } from "./editor.js";
import { Keys } from "./keys.js";
import { ImageList } from "./list.js";
import { Model } from "./model.js";
import { Pointers } from "./pointers.js";
import { RegionLoader } from "./regions.js";
import { showState } from "./saved.js";
import { keepSettings } from "./settings.js";
import { Stage } from "./stage.js";
import { Work } from "./work.js";

const ZOOM = 1.25; // a press of + or -
const PAUSE = 3000; // ms between questions whether there are more predictions
const PATIENCE = 20; // such questions without an answer

async function start() {
  keepSettings();
  const session = await api.session();
  const { counts } = session;
  byId("data").textContent = session.data;
  byId("annotator").textContent = session.annotator;
  showProgress(counts, session.images);

  let controls = null;
  let compare = null;
  const stage = new Stage(byId("canvas"), () => {
    byId("zoom").textContent = percent(stage.view.scale);
    controls?.update();
    compare?.update();
  });
  const editor = new Editor(stage, {
    onChange: () => work.saver?.touch(),
    onShape: (tool) => controls.chooseTool(tool),
    say,
  });
  const regions = new RegionLoader(stage, editor);
  const model = new Model(stage, editor, say);
  compare = new Compare(stage, say, () => work.refresh().catch(() => null)); // the next image tells it anyway
  controls = new Controls(editor, stage, () => regions.toolChanged());

  const drawer = new Drawer();
  const list = new ImageList({
    ...session,
    onOpen: (index) => openChosen(index),
    say,
  });
  const openChosen = async (index) => (await work.open(index)) && drawer.show(false);
  const work = new Work(stage, editor, session.source, {
    onOpen(info) {
      regions.open(info);
      model.open(info);
      compare.open(info);
      agreement.open(info);
      accept.open(info);
      for (const [id, status] of [["nothing", "nothing"], ["skip", "skipped"]]) {
        byId(id).setAttribute("aria-pressed", String(info?.status === status));
      }
      if (info) list.show(info.index);
    },
    onState(saver) {
      showState(saver);
      if (saver?.state === "conflict") work.decide();
    },
    onWritten(index, before, after) {
      list.update(index, after);
      byId("nothing").setAttribute("aria-pressed", String(after.status === "nothing"));
      byId("skip").setAttribute("aria-pressed", String(after.status === "skipped"));
      if (before === null) return;
      if (index === work.index) accept.written(after);
      accept.count(null, { by: Accept.isDue(after) - Accept.isDue(before) });
      if (before.status === after.status) return;
      counts[before.status]--;
      counts[after.status]++;
      showProgress(counts, session.images);
    },
  });

  const save = async () => (await work.saver?.flush()) ?? true;
  const accept = new Accept(session, {
    say,
    save,
    async changed(ended) {
      await work.catchUp().catch(() => null); // saving asks then
      const now = await api.session().catch(() => null);
      if (!now) return;
      Object.assign(counts, now.counts);
      showProgress(counts, session.images);
      accept.count(now.to_accept);
      if (ended) await list.refresh();
    },
  });
  const agreement = new Agreement(session, openChosen);
  const correction = new Correction({
    compare, model, say, save,
    hasOld: session.has_model,
    onCompare: (on) => work.compare(on),
    onRun: (there) => list.allowChanged(there && session.has_model),
    onPredicted: () => Promise.all([list.refresh(), work.refresh()]).catch(() => null),
    showChanged() {
      list.showChanged();
      drawer.show(true);
      byId("images").scrollIntoView({ block: "nearest" });
    },
  });
  const pointers = new Pointers(stage, editor);
  const crossHair = new CrossHair(stage, editor, say);
  const zoom = (factor) => {
    stage.view.zoom(factor, stage.crossHair ? stage.view.toScreen(stage.crossHair) : undefined);
    stage.refresh();
  };
  const fit = () => {
    stage.view.fit();
    stage.refresh();
  };
  const back = () => (hasBefore() ? history.back() : say("There is no image before this one"));
  const tools = ["brush", "eraser", "polygon", "box", "superpixel"];
  const actions = {
    ...Object.fromEntries(tools.map((name) => [name, () => {
      controls.chooseTool(name);
      say([`Tool: ${name}`, editor.waiting].filter(Boolean).join(". "));
    }])),
    positive: () => (controls.chooseInk("positive"), say("Ink: look here")),
    negative: () => (controls.chooseInk("negative"), say("Ink: not here")),
    smaller: () => controls.resize(-1),
    larger: () => controls.resize(1),
    finish: () => editor.finish(),
    stepBack: () => editor.stepBack(),
    cancel() {
      if (pointers.giveUp()) say("Given up");
      editor.cancel();
    },
    undo: () => editor.undo(),
    redo: () => editor.redo(),
    next: () => work.next(),
    back,
    accept: () => work.accept().then(() => accept.open(work.info)),
    nothing: () => work.finish("nothing"),
    skip: () => work.finish("skipped"),
    map: () => correction.toggleMaps() || model.toggleMap(),
    marks: () => controls.toggleMarks(),
    correct: () => correction.start(),
    zoomIn: () => zoom(ZOOM),
    zoomOut: () => zoom(1 / ZOOM),
    fit,
    help: () => keys.help(),
  };
  const keys = new Keys(actions, { stage, editor, pointers, crossHair });

  const presses = {
    "next": actions.next,
    "accept": actions.accept,
    "nothing": actions.nothing,
    "skip": actions.skip,
    "zoom-in": actions.zoomIn,
    "zoom-out": actions.zoomOut,
    "fit": actions.fit,
    "help": actions.help,
    "correct": actions.correct,
    "copy": () => work.copyPrevious(),
    "retry": () => work.retry(),
  };
  for (const [id, press] of Object.entries(presses)) byId(id).addEventListener("click", press);
  byId("to-photo").addEventListener("click", (event) => {
    event.preventDefault(); // the address names the image
    stage.canvas.focus();
  });

  window.addEventListener("popstate", async () => {
    moved();
    const index = addressed();
    if (index === null || index === work.index) return;
    // Where the image may not be left, the address says again which one is open.
    if (!(await work.open(index, { remember: false })) && work.index !== null) enter(work.index, false);
  });
  window.addEventListener("beforeunload", (event) => {
    if ((work.saver && !work.saver.settled) || !editor.mayLeave()) event.preventDefault();
  });

  const first = addressed();
  if (first !== null && first < session.images) await work.open(first);
  else await openFirst(work, session.images);
  accept.resume().catch(() => null); // the list tells it as well
  correction.resume().catch(() => null); // Correct says it again
  awaitPredictions(session, list, work);
}

/** Show predictions once the model has made them all, which it does after the start. */
async function awaitPredictions(session, list, work) {
  let { predicted, predicting } = session;
  for (let failures = 0; predicting && failures < PATIENCE; ) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    const before = predicted;
    try {
      const told = await api.session();
      ({ predicted, predicting } = told);
      list.showWays(told.ways);
      // Meanwhile they are shown only where the image that is open waits for its own.
      if (predicting && (predicted === before || work.info?.predicted !== null)) continue;
      await Promise.all([list.refresh(), work.refresh()]);
    } catch {
      failures++; // the next image tells it anyway
    }
  }
}

/** The image that teaches most, or the first one if none is open. */
async function openFirst(work, images) {
  const index = await api.next();
  if (index === null && images === 0) say("There are no photos here");
  else await work.open(index ?? 0);
}

function showProgress(counts, images) {
  const done = images - counts.open;
  byId("progress").max = Math.max(images, 1);
  byId("progress").value = done;
  byId("progress-shown").textContent = `${done.toLocaleString("en")} of ${images.toLocaleString("en")} done`;
}

start().catch((error) => {
  byId("name").textContent = "The page could not start";
  say(`The page could not start: ${error.message}`);
});
