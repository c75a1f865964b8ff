// Package bearer checks bearer tokens (RFC 8898) that are signed JWTs (RFC 7519)
// of one authorization server, whose keys it fetches as a JWK Set (RFC 7517).
//
// The keys are fetched when the first token comes, again when they are old or a
// token names one that is not known, and never more often than the options say,
// whoever asks. While the server of the keys is silent, those known stay good
// for a while; without any, nobody can say whether a token is right, and nobody
// is let in.
//
// Tokens that have to be asked about elsewhere (RFC 7662) and encrypted ones are
// not supported. A token is a secret: it stands in no error.
package bearer
