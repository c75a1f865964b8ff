package proxy

import (
	"math"
	"strings"
	"testing"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

func wishes(t *testing.T, method string, headers ...string) preferences {
	t.Helper()
	text := strings.ReplaceAll(request(method, "sip:alice@example.com", "c1", headers...), "\n", "\r\n")
	m, err := sipmsg.Parse([]byte(text), caller.Remote)
	if err != nil {
		t.Fatal(err)
	}
	return preferencesOf(m)
}

// The example of the RFC, with its contacts u1 to u5.
func TestPreference_Example_RFC3841_7_2_5(t *testing.T) {
	contacts := []struct {
		params string
		q      usrloc.Q
	}{
		{`;audio;video;methods="INVITE,BYE";q=0.2`, 200},
		{`;audio="FALSE";methods="INVITE";actor="msg-taker";q=0.2`, 200},
		{`;audio;actor="msg-taker";methods="INVITE";video;q=0.3`, 300},
		{`;audio;methods="INVITE,OPTIONS";q=0.2`, 200},
		{`;q=0.5`, 500},
	}
	var set []target
	for i, c := range contacts {
		set = append(set, target{uri: "u" + string(rune('1'+i)), binding: &usrloc.Binding{Params: c.params, Q: c.q}})
	}
	p := wishes(t, "INVITE", `Reject-Contact: *;actor="msg-taker";video`, `Accept-Contact: *;audio;require`,
		`Accept-Contact: *;video;explicit`, `Accept-Contact: *;methods="BYE";class="business";q=1.0`)
	o := Options{Fork: Sequential}
	got := o.order(p.choose(set))
	var order []string
	qa := map[string]float64{}
	for _, x := range got {
		order = append(order, x.uri)
		qa[x.uri] = x.wanted
	}
	if strings.Join(order, " ") != "u5 u1 u4" || math.Abs(qa["u1"]-2.5/3) > .001 || qa["u4"] != .5 || qa["u5"] != 1 {
		t.Errorf("order %v, Qa %v, want u5 u1 u4, with 1, 0.83 and 0.5", order, qa)
	}
	if n := o.group(got[1:]); n != 1 {
		t.Errorf("%d are tried at a time, want the more wanted one first", n)
	}
}

func TestPreference_Judge_RFC3841_7_2_4(t *testing.T) {
	tests := []struct {
		name, contact string
		headers       []string
		qa            float64 // -1: not wanted
	}{
		{"who says nothing is immune", `;expires=60;q=0.1`, []string{"Accept-Contact: *;video;require;explicit"}, 1},
		{"an instance is a feature", `;+sip.instance="<urn:uuid:1>"`, []string{"Accept-Contact: *;video;require;explicit"}, -1},
		{"what is not spoken of may be", `;+sip.instance="<urn:uuid:1>"`, []string{"Accept-Contact: *;video;require"}, 0},
		{"explicit alone lowers the score", `;audio`, []string{"Accept-Contact: *;audio;video;explicit"}, 0},
		{"half of it", `;audio`, []string{"Accept-Contact: *;audio;video"}, .5},
		{"no match without require", `;audio="FALSE"`, []string{"Accept-Contact: *;audio"}, 0},
		{"rejected only by what it says", `;audio`, []string{"Reject-Contact: *;audio;video"}, 1},
		{"rejected", `;audio;video`, []string{"Reject-Contact: *;audio;video"}, -1},
		{"rejected by the compact form", `;audio;video`, []string{"j: *;audio;video"}, -1},
		{"not rejected by another value", `;mobility="fixed"`, []string{`Reject-Contact: *;mobility="mobile"`}, 1},
		{"tokens in any case", `;mobility="Mobile"`, []string{`Accept-Contact: *;mobility="mobile";require`}, 1},
		{"strings in their case", `;description="<PC>"`, []string{`Accept-Contact: *;description="<pc>";require`}, -1},
		{"the same string", `;+sip.instance="<urn:uuid:1>"`, []string{`a: *;+sip.instance="<urn:uuid:1>";require;explicit`}, 1},
		{"one of several", `;methods="INVITE, BYE"`, []string{`Accept-Contact: *;methods="MESSAGE,BYE";require`}, 1},
		{"a negation", `;language="en"`, []string{`Accept-Contact: *;language="!en";require`}, -1},
		{"another than the negated", `;language="de"`, []string{`Accept-Contact: *;language="!en";require`}, 1},
		{"a range", `;+sip.foo="#=4"`, []string{`Accept-Contact: *;+sip.foo="#>=4";require`}, 1},
		{"within a range", `;priority="#20:30"`, []string{`Accept-Contact: *;priority="#>=30";require`}, 1},
		{"outside of a range", `;priority="#=10"`, []string{`Accept-Contact: *;priority="#>=30";require`}, -1},
		{"no number", `;priority="low"`, []string{`Accept-Contact: *;priority="#>=30";require`}, -1},
		{"nothing wanted", `;audio`, []string{`Accept-Contact: *;require;explicit`}, 1},
		{"two wishes, one met", `;audio`, []string{`Accept-Contact: *;audio;require, *;audio="FALSE"`}, 1},
		{"implied by the method", `;methods="MESSAGE"`, nil, -1},
		{"what is implied ranks nobody", `;+sip.instance="<urn:uuid:1>"`, nil, 1},
		{"a plus does not hide a base tag", `;video;+video="FALSE"`, []string{`Accept-Contact: *;video;require`}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := wishes(t, "INVITE", tt.headers...)
			qa, wanted := p.judge(sipmsg.Params(tt.contact))
			if wanted != (tt.qa >= 0) || wanted && qa != tt.qa {
				t.Errorf("judge(%s) = %v, %t, want %v", tt.contact, qa, wanted, tt.qa)
			}
		})
	}
}

func FuzzPreference(f *testing.F) {
	f.Add(`;audio;methods="INVITE,!BYE"`, `;priority="#4:8";require`)
	f.Add(`;+sip.instance="<a,b>"`, `;language="!#<=4"`)
	f.Fuzz(func(t *testing.T, contact, wanting string) {
		p := preferences{accepts: []wish{{terms: features(sipmsg.Params(wanting))}}}
		if qa, wanted := p.judge(sipmsg.Params(contact)); qa < 0 || qa > 1 || !wanted {
			t.Errorf("judge = %v, %t", qa, wanted)
		}
	})
}

// capable registers a phone that says this of itself.
func (w *world) capable(at string, params string) {
	w.t.Helper()
	p := w.newPhone("alice", udp(at), "")
	p.params = params
	w.register(p)
}

func TestPreference_ChoosesDevices_RFC3841_7_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.capable("198.51.100.1:5060", `;audio;video;methods="INVITE,BYE"`)
		w.capable("198.51.100.2:5060", `;audio;methods="INVITE,BYE,MESSAGE"`)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Accept-Contact: *;video;require;explicit"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		// RFC 3841 §7.1: what the caller wrote stays.
		if v, _ := out.m.HeaderNamed("Accept-Contact"); v != "*;video;require;explicit" {
			t.Errorf("Accept-Contact left as %q", v)
		}
		// Nobody is as wanted: the caller agreed to that.
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c2", "Reject-Contact: *;audio"))
		w.expect("480 203.0.113.9:5060")
		// Implied by the method, unless all would be ruled out.
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "c3"))
		w.expect("MESSAGE 198.51.100.2:5060")
		w.recv(caller, request("INFO", "sip:alice@example.com", "c4"))
		w.expect("INFO 198.51.100.1:5060", "INFO 198.51.100.2:5060")
		// Who registers meanwhile must be wanted, too.
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c5", "Accept-Contact: *;video;require;explicit"))
		w.expect("INVITE 198.51.100.1:5060")
		w.capable("198.51.100.3:5060", ";audio")
		w.capable("198.51.100.4:5060", ";video")
		// For the first call, too.
		w.expect("INVITE 198.51.100.4:5060", "INVITE 198.51.100.4:5060")
	})
}
