package app

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"reveille/push/pushsim"
)

// Every reason for which nobody takes a call leads to its own mailbox of the user who
// was called.
func TestVoicemail_ByCondition_RFC3261_16_5(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	rule := func(when string) string {
		return fmt.Sprintf(`{when: [%s], route: vm, to: "sip:{user}@vm.example.com;why=%s;of={aor}"}`, when, when)
	}
	r := newRig(t, `auth: {mode: {registrar: "off", proxy: "off"}}`, `push: {wait: {invite: {default: 1s}}, apps: @apps}`,
		fmt.Sprintf(`proxy: {ring_total: 3s, fallback: [%s, %s, %s, %s], routes: [{name: vm, domain: vm.example.com, to: "sip:%s;transport=tcp"}]}`,
			rule("busy"), rule("no_answer"), rule("timeout"), rule("unreachable"), ln.Addr()))
	registered := func(user, push string) *wire {
		w := r.dial("tcp")
		uri := "sip:" + user + "@" + w.conn.LocalAddr().String() + ";transport=tcp" + push
		w.send(w.request("REGISTER", "sip:example.com", "To: <sip:"+user+"@example.com>", "From: <sip:"+user+"@example.com>;tag=r", "Contact: <"+uri+">", "Expires: 3600"))
		w.expect(200)
		return w
	}
	busy, mute := registered("busy", ""), registered("no_answer", "")
	registered("timeout", ";pn-provider=fcm;pn-param="+pushsim.ProjectID+";pn-prid=sleepy").conn.Close()

	var mailbox *wire
	for _, user := range []string{"unreachable", "busy", "no_answer", "timeout"} {
		caller := r.dial("tcp")
		caller.send(caller.request("INVITE", "sip:"+user+"@example.com", "To: <sip:"+user+"@example.com>"))
		caller.expect(100)
		switch user {
		case "busy":
			busy.send(answerOf(busy.response(), "486 Busy Here"))
		case "no_answer":
			invite := mute.response()
			mute.send(answerOf(invite, "180 Ringing"))
			caller.expect(180)
			cancel := mute.response()
			if !strings.HasPrefix(cancel, "CANCEL ") {
				t.Fatalf("the phone gets %q, want CANCEL", cancel)
			}
			mute.send(answerOf(cancel, "200 OK"))
			mute.send(answerOf(invite, "487 Request Terminated"))
		}
		if mailbox == nil {
			if err := ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			mailbox = &wire{t: t, conn: conn, r: bufio.NewReader(conn)}
		}
		invite := mailbox.response()
		want := fmt.Sprintf("INVITE sip:%s@vm.example.com;why=%s;of=sip:%s%%40example.com SIP/2.0\r\n", user, user, user)
		if !strings.HasPrefix(invite, want) || !strings.Contains(invite, "\r\nDiversion: <sip:"+user+"@example.com>;reason=") {
			t.Errorf("the voicemail gets\n%s, want\n%s", invite, want)
		}
		mailbox.send(answerOf(invite, "200 OK"))
		caller.expect(200)
	}
	if got := r.metric("reveille_proxy_fallbacks_total"); got != 4 {
		t.Errorf("%v calls are counted, want 4", got)
	}
}

// answerOf answers a request without a body.
func answerOf(request, status string) string {
	answer := "SIP/2.0 " + status + "\r\n"
	for line := range strings.SplitSeq(request, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		switch name {
		case "Via", "From", "Call-ID", "CSeq", "Record-Route":
			answer += line + "\r\n"
		case "To":
			answer += line + ";tag=answer\r\n"
		}
	}
	return answer + "Content-Length: 0\r\n\r\n"
}
