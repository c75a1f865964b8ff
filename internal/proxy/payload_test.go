package proxy

import (
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
	"reveille/internal/wake"
	"reveille/push"
)

func TestPush_TellsTheCallerOnlyIfItMay_RFC3323_4_2(t *testing.T) {
	both := wake.Caller{Name: "Bob", Number: "bob"}
	tests := []struct {
		name    string
		tells   CallerData
		from    string
		headers []string
		admit   Admission
		want    wake.Caller
	}{
		{name: "by default nothing", tells: NoCaller},
		{name: "the number", tells: CallerNumber, want: wake.Caller{Number: "bob"}},
		{name: "the name", tells: CallerName, want: both},
		{name: "no privacy", tells: CallerName, headers: []string{"Privacy: none"}, want: both},
		{name: "privacy for the identity", tells: CallerName, headers: []string{"Privacy: id"}},
		{name: "privacy for the user", tells: CallerName, headers: []string{"Privacy: user;critical"}},
		{name: "privacy for header fields, in capitals", tells: CallerNumber, headers: []string{"Privacy: HEADER"}},
		{name: "privacy of the session", tells: CallerNumber, headers: []string{"Privacy: critical;session"}},
		{name: "privacy that nobody knows", tells: CallerNumber, headers: []string{"Privacy: history"}},
		{name: "privacy as it was before", tells: CallerNumber, headers: []string{`Remote-Party-ID: "Bob" <sip:bob@example.net>;privacy=full`}},
		{name: "anonymous", tells: CallerName, from: `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=caller`},
		{name: "escaped", tells: CallerNumber, from: "<sip:%2b49@example.net>;tag=caller", want: wake.Caller{Number: "+49"}},
		{name: "a telephone number", tells: CallerNumber, from: "<tel:+4930;phone-context=x>;tag=caller", want: wake.Caller{Number: "+4930"}},
		{
			name: "a stranger's word counts no more than From", tells: CallerName,
			headers: []string{`P-Asserted-Identity: "Boss" <sip:boss@example.net>`}, want: both,
		},
		{
			name: "a peer's word counts (RFC 3325 §9.1)", tells: CallerName, admit: Admission{Trusted: true},
			headers: []string{`P-Asserted-Identity: "Boss" <sip:+491@example.net>, <tel:+491>`}, want: wake.Caller{Name: "Boss", Number: "+491"},
		},
		{
			name: "a user of ours is who we say", tells: CallerName, admit: Admission{User: "sip:carol@example.com"},
			from: `"Carol" <sip:carol@example.com>;tag=caller`, want: wake.Caller{Name: "Carol", Number: "carol"},
		},
		{
			name: "a user of ours by another name", tells: CallerName, admit: Admission{User: "sip:carol@example.com"},
			want: wake.Caller{Number: "carol"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{CallerData: tt.tells, Identity: Identity{From: AnyFrom}}, func(w *world) {
				w.admit = func(*sipmsg.Message) Admission { return tt.admit }
				w.sleeper("198.51.100.1:5060")
				text := request("INVITE", "sip:alice@example.com", "c1", tt.headers...)
				if tt.from != "" {
					text = strings.Replace(text, `"Bob" <sip:bob@example.net>;tag=caller`, tt.from, 1)
				}
				w.recv(caller, text)
				if got := w.pushCount(1).cause.Caller; got != tt.want {
					t.Errorf("the push tells %+v, want %+v", got, tt.want)
				}
				w.outcome(w.pushCount(1), push.Gone)
				time.Sleep(time.Second)
				w.take()
			})
		})
	}
}
