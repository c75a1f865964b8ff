// Package browser runs the server with phones in a real browser: the example
// page of configs/examples/browser, with JsSIP, and one with SIP.js, over WSS. The
// page sleeps, a call wakes it through its service worker, and it answers.
//
// A browser takes pushes from its maker's push service alone, which a test cannot
// reach. Chromium's cannot be chosen: there the page subscribes at push/pushsim,
// and what arrives there is handed to the browser by its DevTools. Firefox is told
// of a push service of ours: it subscribes there by itself, and gets the push on
// its connection to it.
//
// `make e2e-browser` installs what is needed and runs it in Chromium, with the
// build tag browser; `make e2e-firefox` in Firefox, with the build tag firefox.
package browser
