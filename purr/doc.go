// Package purr makes and opens the sealed tokens that reveille hands to others:
// PURRs (Proxy Unique Registration References, RFC 8599 §6.2), the user parts of
// temporary GRUUs (RFC 5627 §3.1.2) and the tokens in its Record-Route URIs.
//
// A token is an AEAD-sealed value, so there is no table of tokens: every node
// that has the keyring can open it, it survives a restart, and it stays valid
// for as long as its key is on the ring. RFC 8599 §6.2 asks that a PURR is
//
//   - unforgeable: without a key nobody makes a token that opens (AES-256-GCM);
//   - anonymous: it holds a binding's identity, encrypted, and nothing else;
//   - unlinkable: every token has its own random nonce, so two tokens of one
//     binding have nothing in common but the key they were sealed with, which
//     they share with every other token of that day.
//
// The purpose of a token is authenticated with it: a PURR, which a phone shows
// to everybody, never passes for a Record-Route token, which gives a right to
// relay.
//
// Tokens use the letters [0-9a-v] only, so that they are both a tag-value
// (RFC 3840 §9) and a pvalue (RFC 8599 §8.7) without escapes. Elements on the
// way may fold their case: they open all the same.
//
// # How long a key may seal
//
// AES-GCM with random 96-bit nonces must not seal more than 2^32 messages with
// one key (NIST SP 800-38D §8.3). 48,000 tokens a second, more than one core
// registers, are 2^31.95 a day: hence keys change daily. Two nonces of such a
// day collide with a probability of about 2^-33.
package purr
