package proxy

import (
	"strings"
	"testing"
	"time"

	"reveille/push"
)

// The app has the identifier from the payload of the push.
func TestPushID_NamesThePushToItsDeviceAlone(t *testing.T) {
	inWorld(t, Options{PushIDHeader: "X-Push-ID"}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "x-push-id: forged"))
		toDesk := w.expect("INVITE 198.51.100.2:5060")[0]
		if raw := toDesk.m.Raw(); strings.Contains(raw, "push-1") || !strings.Contains(raw, "x-push-id: forged\r\n") {
			t.Errorf("a device that was not woken gets another header than the caller wrote:\n%s", raw)
		}
		w.outcome(w.pushCount(1), push.OK)
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		if raw := invite.m.Raw(); !strings.Contains(raw, "\r\nX-Push-ID: push-1\r\n") || strings.Contains(raw, "forged") {
			t.Errorf("the device that was woken does not get the push's identifier alone:\n%s", raw)
		}
		w.reply(toDesk, 486)
		w.reply(invite, 486)
		time.Sleep(time.Second)
		w.take()
	})
}

// Several requests may have one push: the app knows it by the identifier in the
// payload, which is that of the first.
func TestPushID_IsThatOfThePushThatWasSent(t *testing.T) {
	inWorld(t, Options{PushIDHeader: "X-Push-ID"}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.pushCount(1).done(push.Outcome{Class: push.OK, PushID: "of-another-call"})
		time.Sleep(time.Second)
		w.register(p)
		invite := w.expect("INVITE 198.51.100.1:5060")[0]
		if raw := invite.m.Raw(); !strings.Contains(raw, "\r\nX-Push-ID: of-another-call\r\n") {
			t.Errorf("the request does not name the push that woke the phone:\n%s", raw)
		}
		w.reply(invite, 486)
		time.Sleep(time.Second)
		w.take()
	})
}

func TestPushID_CanBeLeftOut(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "c1"))
		w.pushCount(1)
		time.Sleep(time.Second)
		w.register(p)
		m := w.expect("MESSAGE 198.51.100.1:5060")[0]
		if strings.Contains(m.m.Raw(), "push-1") {
			t.Errorf("a push is named:\n%s", m.m.Raw())
		}
		w.reply(m, 200)
		w.take()
	})
}
