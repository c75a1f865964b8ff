// Package http is a source of users that another program answers for, by HTTP.
// One POST asks for one user:
//
//	{"realm": "example.com", "user": "alice"}
//
// 200 brings what is known, of which all but a proof may be missing:
//
//	{"password": "…", "ha1": "…", "ha1_sha256": "…", "ha1_sha512_256": "…",
//	 "aors": ["sip:sales@example.com"], "max_contacts": 3, "display_name": "Alice"}
//
// 404 means that there is no such user. Everything else means that the program
// cannot say now.
//
// It asks one question a time and remembers nothing: internal/auth/source does.
package http
