package rtpengine

import (
	"errors"
	"strings"
	"testing"
)

func TestCommand_Encode(t *testing.T) {
	browser, phone := Browser(), Phone()
	inside, outside := phone, browser
	inside.Interface, outside.Interface = "lan", "wan"
	tests := []struct {
		name string
		c    Command
		want string
	}{
		{"ping", Command{Verb: ping}, "d7:command4:pinge"},
		{
			"offer to a phone",
			Command{Verb: Offer, Call: "c", Offerer: "a", SDP: "v=0", Receiver: &phone, Sender: &browser},
			"d4:DTLS3:off3:ICE6:remove4:SDESl3:offe7:call-id1:c7:command5:offer8:from-tag1:a7:replacel6:origin18:session-connectione8:rtcp-muxl5:demuxe3:sdp3:v=018:transport-protocol7:RTP/AVPe",
		},
		{
			"offer to a browser",
			Command{Verb: Offer, Call: "c", Offerer: "a", Answerer: "b", SDP: "v=0", Receiver: &outside, Sender: &inside},
			"d4:DTLS7:passive3:ICE5:force4:SDESl3:offe7:call-id1:c7:command5:offer9:directionl3:lan3:wane5:flagsl12:generate-mide8:from-tag1:a7:replacel6:origin18:session-connectione8:rtcp-muxl5:offere3:sdp3:v=06:to-tag1:b18:transport-protocol17:UDP/TLS/RTP/SAVPFe",
		},
		{
			"answer without profile",
			Command{Verb: Answer, Call: "c", Offerer: "a", Answerer: "b", SDP: "v=0", Sender: &inside},
			"d7:call-id1:c7:command6:answer8:from-tag1:a3:sdp3:v=06:to-tag1:be",
		},
		{"delete", Command{Verb: Delete, Call: "c", Offerer: "a"}, "d7:call-id1:c7:command6:deletee"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(tt.c.encode(nil)); got != tt.want {
				t.Errorf("encode =\n%s, want\n%s", got, tt.want)
			}
		})
	}
}

func TestReply(t *testing.T) {
	long := "v=0\r\n" + strings.Repeat("a", maxSDP)
	tests := []struct {
		name string
		verb Verb
		body string
		sdp  string
		err  string
	}{
		{"offer", Offer, "d3:sdp5:v=0\r\n6:result2:oke", "v=0\r\n", ""},
		{"answer with a bare LF", Answer, "d6:result2:ok3:sdp4:v=0\ne", "v=0\n", ""},
		{"pong", ping, "d6:result4:ponge", "", ""},
		{"delete", Delete, "d6:result2:oke", "", ""},
		{"delete of nothing", Delete, "d7:warning38:Call-ID not found or tags didn't match6:result2:oke", "", ""},
		{"error", Answer, "d6:result5:error12:error-reason15:Unknown call-ide", "", `refused by the engine: "Unknown call-id"`},
		{"load limit", Offer, "d6:result10:load limit7:message8:too muche", "", `refused by the engine: "too much"`},
		{"long reason", Offer, string(appendValue(nil, dict{"result": "error", "error-reason": strings.Repeat("x", 999)})), "", `refused by the engine: "` + strings.Repeat("x", maxReason) + `"`},
		{"no SDP", Offer, "d6:result2:oke", "", "malformed answer of an engine: no SDP"},
		{"SDP of another kind", Offer, "d6:result2:ok3:sdpi1ee", "", "malformed answer of an engine: no SDP"},
		{"no SDP inside", Offer, "d6:result2:ok3:sdp4:junke", "", "malformed answer of an engine: no SDP"},
		{"NUL", Offer, "d6:result2:ok3:sdp6:v=0\n\x00\ne", "", "malformed answer of an engine: no SDP"},
		{"too long", Offer, string(appendValue(nil, dict{"result": "ok", "sdp": long})), "", "malformed answer of an engine: no SDP"},
		{"pong to an offer", Offer, "d6:result4:ponge", "", "malformed answer of an engine"},
		{"ok to a ping", ping, "d6:result2:oke", "", "malformed answer of an engine"},
		{"a list", Offer, "le", "", "malformed answer of an engine"},
		{"junk", Offer, "junk", "", "malformed answer of an engine: malformed bencoding"},
		{"nothing", Offer, "", "", "malformed answer of an engine: malformed bencoding"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sdp, err := parseReply(tt.verb, tt.body)
			says := ""
			if err != nil {
				says = err.Error()
			}
			if sdp != tt.sdp || says != tt.err {
				t.Errorf("parseReply = %q, %q, want %q, %q", sdp, says, tt.sdp, tt.err)
			}
			var refused *RefusedError
			if strings.HasPrefix(tt.err, "refused") != errors.As(err, &refused) {
				t.Errorf("%v is a RefusedError: %t", err, !errors.As(err, &refused))
			}
		})
	}
}
