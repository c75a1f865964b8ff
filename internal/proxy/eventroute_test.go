package proxy

import (
	"fmt"
	"strings"
	"testing"

	"reveille/internal/sipmsg"
	"reveille/push"
)

// eventServer is the server for messages waiting.
func eventServer() Options {
	return Options{
		Routes:      []Route{{Name: "voicemail", Domain: "voicemail.invalid", To: to("sip:192.0.2.50:5060")}},
		EventRoutes: map[string]string{"message-summary": "voicemail"}, Events: []string{"reg"}, WakeEvents: []string{"message-summary"},
	}
}

func TestEventRoute_SubscribeAndPublish_RFC6665_4_2_1_1(t *testing.T) {
	tests := []struct {
		method, event string
		options       func() Options
		stranger      bool
		want          string
	}{
		{"SUBSCRIBE", "message-summary", eventServer, false, "SUBSCRIBE 192.0.2.50:5060"},
		{"SUBSCRIBE", "message-summary;id=4", eventServer, false, "SUBSCRIBE 192.0.2.50:5060"},
		{"SUBSCRIBE", "message-summary", eventServer, true, "403 203.0.113.9:5060"},
		{"SUBSCRIBE", "presence", eventServer, false, "489 203.0.113.9:5060"},
		{"SUBSCRIBE", "message-summary, presence", eventServer, false, "489 203.0.113.9:5060"},
		{"SUBSCRIBE", "", eventServer, false, "489 203.0.113.9:5060"},
		{"SUBSCRIBE", "message-summary", nil, false, "489 203.0.113.9:5060"},
		{"PUBLISH", "message-summary", eventServer, false, "PUBLISH 192.0.2.50:5060"},
		{"PUBLISH", "presence", eventServer, false, "489 203.0.113.9:5060"},
		{"PUBLISH", "presence", nil, false, "405 203.0.113.9:5060"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %q %s", tt.method, tt.event, tt.want), func(t *testing.T) {
			o := Options{}
			if tt.options != nil {
				o = tt.options()
			}
			inWorld(t, o, func(w *world) {
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), "fcm"))
				if !tt.stranger {
					w.admit = func(*sipmsg.Message) Admission { return Admission{Trusted: true} }
				}
				var headers []string
				if tt.event != "" {
					headers = append(headers, "Event: "+tt.event)
				}
				w.recv(caller, request(tt.method, "sip:alice@example.com", "s1", headers...))
				s := w.expect(tt.want)[0]
				if s.m.IsRequest() {
					// It is still about the user.
					if got := s.m.RequestURI().String(); got != "sip:alice@example.com" {
						t.Errorf("Request-URI %s", got)
					}
					w.reply(s, 200)
					w.expect("200 203.0.113.9:5060")
				}
				// RFC 6665 §4.4.4: who asks for what is unknown hears what is known.
				known, listed := s.m.HeaderNamed("Allow-Events")
				if s.m.Status() == 489 && (listed != (tt.options != nil) || listed && known != "message-summary, reg") {
					t.Errorf("Allow-Events: %s", known)
				}
				w.pushCount(0)
			})
		})
	}
}

// A voicemail tells of a message that came, though nobody subscribed.
func TestEventRoute_UnsolicitedMWIWakes_RFC3842(t *testing.T) {
	for _, tt := range []struct {
		event string
		wakes bool
	}{{"message-summary", true}, {"check-sync", false}, {"", false}} {
		t.Run(tt.event, func(t *testing.T) {
			inWorld(t, eventServer(), func(w *world) {
				p := w.sleeper("198.51.100.1:5060")
				notify := request("NOTIFY", "sip:alice@example.com", "n1", "Event: "+tt.event)
				if tt.event == "" {
					notify = strings.Replace(notify, "Event: \n", "", 1)
				}
				w.recv(caller, notify)
				if !tt.wakes {
					w.expect("480 203.0.113.9:5060")
					w.pushCount(0)
					return
				}
				// A push for a call would make the phone ring.
				if pu := w.pushCount(1); pu.cause.Kind == push.Call {
					t.Errorf("pushed as %v", pu.cause.Kind)
				}
				p.flow = udp("198.51.100.7:40000")
				w.register(p)
				w.reply(w.expect("NOTIFY 198.51.100.7:40000")[0], 200)
				w.expect("200 203.0.113.9:5060")
			})
		})
	}
}
