// Package console is the web page of operators: what the server does now, who waits
// for which phone, and why a phone did not ring.
//
// Pages are made on the server (html/template) and work without script; one small
// module keeps what is shown up to date. All of it is embedded. No page has script or
// style of its own, so that the Content-Security-Policy forbids both: a name that a
// stranger wrote into a header field is text, and stays so.
//
// People log in with a token of http.tokens and get a session; who has a client
// certificate that is known needs none. What a role may not do is neither shown nor
// done. On the control socket there is no console.
package console
