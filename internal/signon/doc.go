// Package signon lets people in who log in at an OpenID provider: OpenID Connect Core
// 1.0 by the authorization code flow (§3.1) with PKCE (RFC 7636), and Discovery 1.0.
//
// Begin says where to send a browser and what to remember of it; Finish takes the code
// that the browser comes back with, and says who that is. What a person may do, and the
// session that follows, is the caller's. Nothing is remembered here of people: no
// access token, no refresh token.
//
// The provider is asked for its endpoints when somebody wants to log in, so that one
// that is down keeps nothing from starting. Tokens and codes are in no error.
package signon
