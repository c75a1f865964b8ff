// Package browser runs the server with phones in a real browser: the example
// page of configs/examples/browser in Chromium, with JsSIP, over WSS. The page
// sleeps, a call wakes it through its service worker, and it answers.
//
// A browser takes pushes from its maker's push service alone, which a test
// cannot reach. So the page subscribes at push/pushsim, and what arrives there is
// handed to the browser by its DevTools.
//
// `make e2e-browser` installs what is needed and runs it.
package browser
