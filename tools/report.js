"use strict"; document.title = "fsmeta report";
