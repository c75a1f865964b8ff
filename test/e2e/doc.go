// Package e2e runs the server's binary against real phones: linphone-daemon as
// the mobile phone, baresip on the desk, SIPp as a caller and as a carrier, sipsak
// and a phone on sipgo. What each can do stands in docs/interop.md. Media go
// through rtpengine. The push services are push/pushsim. `make e2e` installs the phones and runs it.
package e2e
