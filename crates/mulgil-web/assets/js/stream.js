// The one event stream of a browser. As a shared worker it holds it for all tabs; where there is no such
// worker a page loads it as a script and holds its own. What comes is told as { topics }, { lost } or, by the first
// beat of a stream, { serial }: the number of the newest state, by which a page sees that it missed a change.
"use strict";

const mulgilStream = (tell) => {
  const SILENT = 35_000, FIRST = 1_000, LONGEST = 30_000;
  let source = null, wait = FIRST, timer = 0, wasLost = false, hasBeat = false, isNew = true;

  // A connection may end without a word; a server that lets its heart be heard is missed when it is silent.
  const watch = () => {
    clearTimeout(timer);
    if (hasBeat) timer = setTimeout(lose, SILENT);
  };
  const lose = () => {
    source?.close();
    wasLost = true;
    tell({ lost: true });
    clearTimeout(timer);
    timer = setTimeout(open, wait * (0.75 + Math.random() / 2));
    wait = Math.min(wait * 2, LONGEST);
  };
  const open = () => {
    source = new EventSource("/events");
    isNew = true;
    watch();
    source.onopen = () => {
      watch();
      tell({ lost: false });
      // Nobody knows what was missed.
      if (wasLost) tell({ topics: ["*"] });
      wasLost = false;
    };
    source.addEventListener("beat", ({ data }) => {
      [wait, hasBeat] = [FIRST, true];
      watch();
      tell({ serial: Number(data), isNew });
      isNew = false;
    });
    source.onmessage = (message) => {
      wait = FIRST;
      watch();
      let told = {};
      try { told = JSON.parse(message.data); } catch { return; }
      if (Array.isArray(told.topics)) tell({ topics: told.topics, serial: told.serial });
    };
    source.onerror = lose;
  };
  return {
    open: () => { if (!source) open(); },
    close: () => { source?.close(); source = null; clearTimeout(timer); },
  };
};

if (self.SharedWorkerGlobalScope && self instanceof SharedWorkerGlobalScope) {
  // Pages that are seen; hidden ones are told nothing and look again when they are shown.
  const ports = new Set();
  let isLost = false, serial;
  const stream = mulgilStream((what) => {
    if ("lost" in what) isLost = what.lost;
    if ("serial" in what) {
      serial = what.serial;
      if (!what.topics && !what.isNew) return;
    }
    for (const port of ports) port.postMessage(what);
  });
  self.onconnect = ({ ports: [port] }) => {
    port.onmessage = ({ data }) => {
      if (data === "seen") {
        ports.add(port);
        port.postMessage({ lost: isLost, serial });
        stream.open();
      } else {
        ports.delete(port);
        if (ports.size > 0) return;
        stream.close();
        serial = undefined;
      }
    };
  };
} else {
  self.mulgilStream = mulgilStream;
}
