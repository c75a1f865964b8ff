// Package rtpengine has the media of calls changed by Sipwise rtpengine: it asks
// engines to rewrite SDP, by the ng protocol, so that a browser (ICE, DTLS-SRTP) and
// a phone or gateway that speaks plain RTP hear each other.
//
// A [Client] knows several engines. [Client.Pick] chooses one for a new call, which
// stays there; [Client.Do] sends it one command and tells its answer. Commands are
// datagrams with a cookie, sent again until the answer comes or their time is up. An
// engine that does not answer is left out until it answers a ping.
//
// The package does not read SDP and knows no SIP: internal/proxy says what is offered
// and answered, and when a call is over.
package rtpengine
