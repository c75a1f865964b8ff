package proxy

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
)

// breadths returns the Max-Breadth of each message; "" if it has none or several.
func breadths(list []sent) []string {
	var all []string
	for _, s := range list {
		value, count := "", 0
		for h := range s.m.Headers() {
			if h.Name == "Max-Breadth" {
				value, count = h.Value, count+1
			}
		}
		if count != 1 {
			value = ""
		}
		all = append(all, value)
	}
	return all
}

func TestBreadth_IsDivided_RFC5393_5_3_3(t *testing.T) {
	tests := []struct {
		name, method string
		phones       int
		headers      []string
		want         []string
	}{
		{"added", "OPTIONS", 1, nil, []string{"60"}},
		{"kept", "OPTIONS", 1, []string{"Max-Breadth: 7"}, []string{"7"}},
		{"no more than 60", "OPTIONS", 1, []string{"max-breadth: 4294967296"}, []string{"60"}},
		{"no number", "OPTIONS", 1, []string{"Max-Breadth: many"}, []string{"60"}},
		{"one header field alone", "OPTIONS", 1, []string{"Max-Breadth: 9", "Max-Breadth: 3"}, []string{"9"}},
		{"divided", "OPTIONS", 3, []string{"Max-Breadth: 8"}, []string{"2", "3", "3"}},
		{"some is kept for phones that join a call", "INVITE", 2, nil, []string{"22", "23"}},
		{"but not of one that is small", "INVITE", 1, []string{"Max-Breadth: 3"}, []string{"3"}},
		{"the most that can be called", "INVITE", 2, []string{"Max-Breadth: 2"}, []string{"1", "1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				for i := range tt.phones {
					w.register(w.newPhone("alice", udp(fmt.Sprintf("198.51.100.%d:5060", i+1)), ""))
				}
				w.recv(caller, request(tt.method, "sip:alice@example.com", "c1", tt.headers...))
				var out []sent
				for _, s := range w.take() {
					if s.m.Method() == tt.method && s.m.IsRequest() {
						out = append(out, s)
					}
				}
				if got := breadths(out); !slices.Equal(got, tt.want) {
					t.Errorf("Max-Breadth %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestBreadth_Exceeded_RFC5393_5_3_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Max-Breadth: 0"))
		w.expect("440 203.0.113.9:5060")
	})
}

// What cannot be forked side by side is forked one after the other.
func TestBreadth_TooSmallForAll_RFC5393_5_3_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Max-Breadth: 1"))
		first := w.expect("INVITE 198.51.100.1:5060")[0]
		// A phone that comes meanwhile has to wait, too.
		w.register(w.newPhone("alice", udp("198.51.100.3:5060"), ""))
		w.expect()
		w.reply(first, 486)
		second := w.expect("ACK 198.51.100.1:5060", "INVITE 198.51.100.3:5060")[1]
		w.reply(second, 486)
		third := w.expect("ACK 198.51.100.3:5060", "INVITE 198.51.100.2:5060")[1]
		if got := breadths([]sent{first, second, third}); !slices.Equal(got, []string{"1", "1", "1"}) {
			t.Errorf("Max-Breadth %q, want 1 each", got)
		}
		w.reply(third, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// A phone that moves has its second attempt from what was kept back, or none.
func TestBreadth_OfAPhoneThatMoves_RFC5393_5_3_3(t *testing.T) {
	for _, breadth := range []int{60, 1} {
		t.Run(strconv.Itoa(breadth), func(t *testing.T) {
			inWorld(t, Options{Policy: func(string, string) Mode { return Race }}, func(w *world) {
				p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
				w.register(p)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1", "Max-Breadth: "+strconv.Itoa(breadth)))
				out := w.expect("INVITE 198.51.100.1:5060")
				p.flow = tcp("198.51.100.7:5060", 2)
				w.register(p)
				if breadth == 1 {
					w.expect()
				} else {
					out = append(out, w.expect("INVITE 198.51.100.7:5060")...)
				}
				sum := 0
				for _, value := range breadths(out) {
					n, err := strconv.Atoi(value)
					if err != nil || n < 1 {
						t.Errorf("Max-Breadth %q, want a number", value)
					}
					sum += n
				}
				if sum > breadth {
					t.Errorf("%d in all, want no more than %d", sum, breadth)
				}
				w.reply(out[len(out)-1], 486)
			})
		})
	}
}

// Whatever becomes of its branches, no request has more of it on the way than it came
// with, and all of it is back in the end.
func TestBreadth_Sum_RFC5393_5_3_3(t *testing.T) {
	f := &fork{breadth: 10, joins: true}
	var all []*branch
	add := func(n int) {
		var set []*branch
		for range n {
			set = append(set, &branch{fork: f, target: target{binding: &unregistered}})
		}
		f.allot(set)
		all = append(all, set...)
	}
	check := func() {
		t.Helper()
		sum := f.breadth
		for _, b := range all {
			sum += b.breadth + b.held
		}
		if sum != 10 || f.breadth < 0 {
			t.Errorf("%d in all with %d left, want 10 and no less than 0", sum, f.breadth)
		}
	}
	add(3)
	check()
	for all[0].widen() {
		check()
	}
	all[0].narrow()
	check()
	add(2)
	check()
	for _, b := range all {
		b.narrow()
	}
	if f.breadth != 10 {
		t.Errorf("%d left in the end, want 10", f.breadth)
	}
}
