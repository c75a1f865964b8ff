package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/push"
)

// This file is about what comes of two features that meet in one request.

// A phone that registers while the voicemail is called is too late: for the user's
// devices the call is over.
func TestFallback_NobodyJoinsIt(t *testing.T) {
	routes, rule := voicemail()
	inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}}, func(w *world) {
		w.invite()
		out := w.expect("INVITE 192.0.2.50:5060")[0]
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.expect()
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// The way of a call has each station once, though one of them told its push data.
func TestFallback_HistoryWithPushData_RFC7044_10_3(t *testing.T) {
	routes, rule := voicemail()
	rule.Diversion = HistoryInfo
	inWorld(t, Options{Routes: routes, Fallbacks: []Fallback{rule}}, func(w *world) {
		w.invite("History-Info: <sip:bob@192.0.2.9;pn-provider=fcm;pn-prid=secret>;index=1, <sip:alice@example.com>;index=1.1")
		out := w.expect("INVITE 192.0.2.50:5060")[0]
		want := []string{
			"<sip:bob@192.0.2.9>;index=1", "<sip:alice@example.com?Reason=SIP%3Bcause%3D480>;index=1.1", "<sip:box@vm.example.com>;index=1.1.1;mp=1.1",
		}
		if got := slices.Collect(out.m.Values(sipmsg.HdrHistoryInfo)); !slices.Equal(got, want) {
			t.Errorf("the voicemail gets the history\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// The call that is made to hang up tells the phone no more than another one.
func TestFarewell_HistoryWithPushData_RFC8599_13(t *testing.T) {
	inWorld(t, Options{Farewell: FarewellBranch}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Diversion: <sip:bob@192.0.2.9;pn-provider=fcm;pn-prid=secret>;reason=user-busy"))
		w.outcome(w.pushCount(1), push.OK)
		w.recv(caller, cancelOf("c1"))
		w.expect("200 203.0.113.9:5060", "487 203.0.113.9:5060")
		w.recv(caller, strings.Replace(request("ACK", "sip:alice@example.com", "c1"), "branch=z9hG4bK-ack", "branch=z9hG4bK-invite", 1))
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		if strings.Contains(invite.m.Raw(), "secret") {
			t.Errorf("the phone gets\n%s", invite.m.Raw())
		}
		w.reply(invite, 487)
		w.expect("ACK 198.51.100.7:40000")
	})
}

// An index is digits and dots (RFC 7044 §5.1); what else somebody wrote there is not
// repeated.
func TestFallback_HistoryOfAForger_RFC7044_5_1(t *testing.T) {
	for _, index := range []string{`"1, <sip:eve@example.com>"`, "x", strings.Repeat("1.", 200) + "1"} {
		text := request("INVITE", "sip:alice@example.com", "c1", "History-Info: <sip:bob@example.com>;index="+index)
		d := &diversion{mode: HistoryInfo, aor: aliceAOR, cause: 486, to: "sip:box@vm.example.com"}
		got := d.history(mustParse(t, text), nil)
		if last := got[len(got)-1]; len(got) != 3 || last != "<sip:box@vm.example.com>;index=1.0.1;mp=1.0" {
			t.Errorf("behind index=%s comes %s", index, last)
		}
	}
}

// A message that was kept goes to the devices alone that its sender wants.
func TestMessages_KeptForWhomTheSenderWants_RFC3841_7_2(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		mobile := p.sleeper("198.51.100.1:5060")
		mobile.params = `;mobility="mobile"`
		p.register(mobile)
		p.sleeps(mobile)
		p.sends("m1", `Accept-Contact: *;mobility="mobile";require`)
		p.expect("202 203.0.113.9:5060")
		desk := p.newPhone("alice", udp("198.51.100.2:5060"), "")
		desk.params = `;mobility="fixed"`
		p.register(desk)
		p.expect()
		p.empty(false)
		p.wakes(mobile)
		p.gets(mobile, "m1")
		p.empty(true)
	})
}

// A phone that wakes while a message is on its way to the disk does not get it in front
// of those that wait.
func TestMessages_NotOvertakenOnTheWayToTheDisk(t *testing.T) {
	withMail(t, Options{}, func(p *post) {
		ph := p.sleeper("198.51.100.1:5060")
		p.sends("m1")
		p.expect("202 203.0.113.9:5060")
		p.late = time.Second
		p.sends("m2")
		p.expect()
		p.wakes(ph)
		p.gets(ph, "m1", "m2")
		p.expect()
		time.Sleep(time.Second)
		p.expect("202 203.0.113.9:5060")
		p.empty(true)
	})
}

// A next hop that was given up accepts the call after all: it gets the ACK.
func TestAck_ToTheHopThatWasLate_RFC3263_4(t *testing.T) {
	names := dnsNames{"pbx.example": hopsTo(flow.TCP, "pbx.example", gwA, gwB)}
	inWorld(t, Options{Resolver: names}, func(w *world) {
		bob := w.newPhone("bob", udp("203.0.113.9:5060"), "")
		w.register(bob)
		pbx := tcp("198.51.100.81:40000", 1)
		ok := w.callFrom(pbx, bob, "sip:alice@pbx.example;transport=tcp")
		w.breaks(pbx)
		w.recv(bob.flow, inDialogRequest("INVITE", 2, ok, false, "sip:alice@pbx.example;transport=tcp"))
		w.after(100 * time.Millisecond)
		first := w.expect("INVITE " + gwA)[0]
		w.after(6 * time.Second)
		w.expect("INVITE " + gwB)
		w.reply(first, 200)
		w.expect("200 203.0.113.9:5060")
		w.recv(bob.flow, inDialogRequest("ACK", 2, ok, false, "sip:alice@pbx.example;transport=tcp"))
		w.after(200 * time.Millisecond)
		w.expect("ACK " + gwA)
	})
}

// It accepts the call when that is long over: nothing is remembered for an ACK.
func TestAck_NothingIsLeftOfACallThatIsOver(t *testing.T) {
	names := dnsNames{"pbx.example": hopsTo(flow.TCP, "pbx.example", gwA, gwB)}
	inWorld(t, Options{Resolver: names}, func(w *world) {
		bob := w.newPhone("bob", tcp("203.0.113.9:5060", 2), "")
		w.register(bob)
		pbx := tcp("198.51.100.81:40000", 1)
		ok := w.callFrom(pbx, bob, "sip:alice@pbx.example;transport=tcp")
		w.breaks(pbx)
		invite := inDialogRequest("INVITE", 2, ok, false, "sip:alice@pbx.example;transport=tcp")
		w.recv(bob.flow, invite)
		w.after(100 * time.Millisecond)
		first := w.expect("INVITE " + gwA)[0]
		w.after(6 * time.Second)
		w.reply(w.expect("INVITE " + gwB)[0], 486)
		w.expect("ACK "+gwB, "486 203.0.113.9:5060")
		w.recv(bob.flow, strings.Replace(strings.Replace(invite, "INVITE sip", "ACK sip", 1), "2 INVITE", "2 ACK", 1))
		w.after(10 * time.Second)
		w.take()
		w.reply(first, 200)
		w.expect()
	})
}

// A request that makes much of what it wants is read as far as anybody means it.
func TestPreference_Bounded_RFC3841_7_2(t *testing.T) {
	var params, values strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&params, ";+a%d", i)
		fmt.Fprintf(&values, "v%d,", i)
	}
	if n := len(features(sipmsg.Params(params.String()))); n > maxFeatures {
		t.Errorf("%d features are read, want %d at most", n, maxFeatures)
	}
	if n := len(featureValues(values.String())); n > maxFeatureValues {
		t.Errorf("%d values are read, want %d at most", n, maxFeatureValues)
	}
}
