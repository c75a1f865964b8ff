package registrar

import (
	"strings"
	"testing"

	"reveille/flow"
)

func streamFrom(port uint16) flow.Flow {
	f := flowFrom(port)
	f.Transport, f.Incarnation, f.Conn = flow.TCP, 1, uint64(port)
	return f
}

const flowContact = `<sip:a@h>;+sip.instance="<urn:x:1>";reg-id=`

func TestApply_Outbound_RFC5626_6(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Policy)
		e      Extensions
		in     func(*Input)
		// code refuses; without, regID is what is stored and ok what the 200 adds.
		code  int
		regID uint32
		ok    string
	}{
		{name: "direct, UDP", e: ExtOutbound, regID: 1, ok: "Require: outbound\r\n"},
		{name: "direct, connection", e: ExtOutbound, in: func(in *Input) { in.Flow = streamFrom(1) }, regID: 1, ok: "Require: outbound\r\nFlow-Timer: 120\r\n"},
		{name: "no Flow-Timer", change: func(p *Policy) { p.Outbound.FlowTimer = 0 }, e: ExtOutbound, in: func(in *Input) { in.Flow = streamFrom(1) }, regID: 1, ok: "Require: outbound\r\n"},
		{name: "the phone does not want to know", in: func(in *Input) { in.Flow = streamFrom(1) }, regID: 1},
		{name: "relayed without Path", e: ExtOutbound, in: func(in *Input) { in.Relayed = true }, code: 439},
		{name: "relayed by an edge without flows", e: ExtOutbound, in: func(in *Input) { in.Relayed, in.Path = true, []string{"<sip:e;lr>"} }, code: 439},
		{name: "relayed by an edge with flows", e: ExtOutbound, in: func(in *Input) {
			in.Relayed, in.Path, in.PathOutbound, in.Flow = true, []string{"<sip:e;lr;ob>"}, true, streamFrom(1)
		}, regID: 1, ok: "Require: outbound\r\n"},
		{name: "relayed, Path is off", change: func(p *Policy) { p.Path, p.Outbound.Mode = PathOff, OutboundOff }, e: ExtOutbound, in: func(in *Input) {
			in.Relayed, in.Path, in.PathOutbound = true, []string{"<sip:e;lr;ob>"}, true
		}},
		{name: "relayed, the phone expects nothing", in: func(in *Input) { in.Relayed = true }},
		{name: "switched off", change: func(p *Policy) { p.Outbound.Mode = OutboundOff }, e: ExtOutbound, in: func(in *Input) { in.Relayed = true }},
		{name: "required", change: func(p *Policy) { p.Outbound.Mode = OutboundRequired }, e: ExtOutbound, regID: 1, ok: "Require: outbound\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			change := tt.change
			if change == nil {
				change = func(*Policy) {}
			}
			w := newWorld(t, change)
			in := w.supporting(tt.e, "one", 1, flowContact+"1")
			if tt.in != nil {
				tt.in(in)
			}
			res, err := w.apply(in)
			if tt.code != 0 {
				wantRefusal(t, err, tt.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := w.only().RegID; got != tt.regID {
				t.Errorf("reg-id %d, want %d", got, tt.regID)
			}
			_, got, _ := strings.Cut(w.ok(res), "\r\n")
			if got != tt.ok {
				t.Errorf("the 200 adds %q, want %q", got, tt.ok)
			}
		})
	}
}

// A flow is a binding of its own: by instance and reg-id, whatever the contact.
func TestApply_FlowsOfOneDevice_RFC5626_6(t *testing.T) {
	w := newWorld(t)
	w.mustApply(w.supporting(ExtOutbound, "one", 1, flowContact+"1"))
	w.mustApply(w.supporting(ExtOutbound, "one", 2, flowContact+"2"))
	if len(w.rec.Bindings) != 2 {
		t.Fatalf("%d bindings, want 2", len(w.rec.Bindings))
	}
	in := w.supporting(ExtOutbound, "one", 3, `<sip:elsewhere@h2>;+sip.instance="<urn:x:1>";reg-id=2`)
	in.Flow = streamFrom(7)
	w.mustApply(in)
	w.want("sip:a@h", "sip:elsewhere@h2")
	if got := w.rec.Bindings[1].Flow; got != in.Flow {
		t.Errorf("the flow is %v, want %v", got, in.Flow)
	}
	// Beside plain ones.
	w.mustRegister("two", 1, "<sip:desk@h>")
	w.want("sip:a@h", "sip:elsewhere@h2", "sip:desk@h")
}

func TestApply_RemovalOfAFlow_RFC5626_6(t *testing.T) {
	w := newWorld(t)
	w.mustApply(w.supporting(ExtOutbound, "one", 1, flowContact+"1"))
	w.mustApply(w.supporting(ExtOutbound, "one", 2, flowContact+"2"))
	res := w.mustApply(w.supporting(ExtOutbound, "one", 3, flowContact+"1;expires=0"))
	if len(w.rec.Bindings) != 1 || w.only().RegID != 2 || !res.Outbound {
		t.Errorf("left %q, Require: outbound %v", w.contacts(), res.Outbound)
	}
}

func TestApply_RegIDWithoutInstance_RFC5626_6(t *testing.T) {
	w := newWorld(t)
	in := w.supporting(ExtOutbound, "one", 1, "<sip:a@h>;reg-id=1")
	in.Relayed = true
	res := w.mustApply(in)
	if b := w.only(); b.RegID != 0 || res.Outbound || b.Params != ";reg-id=1" {
		t.Errorf("reg-id %d, params %q, Require: outbound %v", b.RegID, b.Params, res.Outbound)
	}
}

func TestApply_OneContactPerFlow_RFC5626_6(t *testing.T) {
	for _, tt := range []struct {
		name     string
		contacts []string
		refused  bool
	}{
		{"two flows", []string{flowContact + "1", flowContact + "2"}, true},
		{"a flow and another", []string{flowContact + "1", "<sip:b@h>"}, true},
		{"a flow and a removal", []string{flowContact + "1", "<sip:b@h>;expires=0"}, false},
		{"removals", []string{flowContact + "1;expires=0", flowContact + "2;expires=0"}, false},
		{"no flows", []string{"<sip:a@h>;reg-id=1", "<sip:b@h>;reg-id=2"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.register("one", 1, tt.contacts...)
			if !tt.refused && err != nil {
				t.Error(err)
			} else if tt.refused {
				wantRefusal(t, err, 400)
			}
		})
	}
}

func TestApply_OutboundRequired_RFC5626_6(t *testing.T) {
	required := func(p *Policy) { p.Outbound.Mode = OutboundRequired }
	w := newWorld(t, required)
	_, err := w.register("one", 1, "<sip:a@h>")
	if r := wantRefusal(t, err, 421); r.Require != "outbound" {
		t.Errorf("Require: %q", r.Require)
	}
	_, err = w.apply(w.supporting(ExtOutbound, "one", 2, `<sip:a@h>;+sip.instance="<urn:x:1>"`))
	wantRefusal(t, err, 403)
	// Whoever has a binding from before may remove it, and all may ask.
	w.mustRegister("one", 3, "<sip:a@h>;expires=0")
	w.mustRegister("one", 4)
}
