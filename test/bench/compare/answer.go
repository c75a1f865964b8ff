package main

import "bytes"

// branchPrefix is what every branch begins with (RFC 3261 §8.1.1.7).
const branchPrefix = "z9hG4bK"

// readAnswer returns the status of a response and the number in its branch. ok is
// false for what is no answer to a message of ours.
func readAnswer(b []byte) (status int, branch uint64, ok bool) {
	const line = "SIP/2.0 "
	if len(b) < len(line)+3 || string(b[:len(line)]) != line {
		return 0, 0, false
	}
	for _, c := range b[len(line) : len(line)+3] {
		status = status*10 + int(c-'0')
	}
	at := bytes.Index(b, []byte(branchPrefix))
	if at < 0 || len(b) < at+len(branchPrefix)+10 {
		return 0, 0, false
	}
	for _, c := range b[at+len(branchPrefix) : at+len(branchPrefix)+10] {
		if c < '0' || c > '9' {
			return 0, 0, false
		}
		branch = branch*10 + uint64(c-'0')
	}
	return status, branch, true
}

// readNonce returns the nonce of the SHA-256 challenge in a 401.
func readNonce(b []byte) ([]byte, bool) {
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(line, []byte("WWW-Authenticate:")) || !bytes.Contains(line, []byte("SHA-256")) {
			continue
		}
		const param = `nonce="`
		_, after, ok := bytes.Cut(line, []byte(param))
		if !ok {
			return nil, false
		}
		nonce, _, ok := bytes.Cut(after, []byte(`"`))
		return nonce, ok && len(nonce) > 0
	}
	return nil, false
}
