// Package console opens the console in a real browser: every page, in dark and light,
// on a desk and on a phone, with what its operators do there. axe-core looks for what
// would shut people out, and the browser for what the Content-Security-Policy forbids.
//
// `make e2e-browser` runs it, with the build tag browser. `make screenshots` takes the
// pictures of docs/console.md.
package console
