package transaction

import "testing"

// TestFSM_EveryStateAndEvent lists all transitions of the four machines, each
// state with every event in this order.
func TestFSM_EveryStateAndEvent(t *testing.T) {
	names := [events]string{"request", "ack", "100", "1xx", "2xx", "3xx-6xx", "cancel", "repeat", "expire", "transport"}
	const gone = terminated
	table := [states]struct {
		name  string
		steps [events]step
	}{
		terminated: {"terminated", [events]step{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}}},

		ivsProceeding: {"INVITE server, proceeding", [events]step{
			{ivsProceeding, doResend, keep},
			{ivsProceeding, 0, keep},
			{ivsProceeding, doSend, keep},
			{ivsProceeding, doSend, keep},
			{ivsAccepted, doSend, limitL},
			{ivsCompleted, doSend | doRepeat, limitH},
			{ivsProceeding, 0, keep},
			{ivsProceeding, 0, keep},
			{ivsProceeding, 0, keep},
			{ivsProceeding, 0, keep},
		}},
		ivsAccepted: {"INVITE server, accepted", [events]step{
			{ivsAccepted, 0, keep},
			{ivsAccepted, doPass, keep},
			{ivsAccepted, 0, keep},
			{ivsAccepted, 0, keep},
			{ivsAccepted, doSend, keep},
			{ivsAccepted, 0, keep},
			{ivsAccepted, 0, keep},
			{ivsAccepted, 0, keep},
			{gone, 0, keep},
			{ivsAccepted, 0, keep},
		}},
		ivsCompleted: {"INVITE server, completed", [events]step{
			{ivsCompleted, doResend, keep},
			{ivsConfirmed, doQuiet, limitI},
			{ivsCompleted, 0, keep},
			{ivsCompleted, 0, keep},
			{ivsCompleted, 0, keep},
			{ivsCompleted, 0, keep},
			{ivsCompleted, 0, keep},
			{ivsCompleted, doResend | doRepeat, keep},
			{gone, 0, keep},
			{ivsCompleted, 0, keep},
		}},
		ivsConfirmed: {"INVITE server, confirmed", [events]step{
			{ivsConfirmed, 0, keep},
			{ivsConfirmed, 0, keep},
			{ivsConfirmed, 0, keep},
			{ivsConfirmed, 0, keep},
			{ivsConfirmed, 0, keep},
			{ivsConfirmed, 0, keep},
			{ivsConfirmed, 0, keep},
			{ivsConfirmed, 0, keep},
			{gone, 0, keep},
			{ivsConfirmed, 0, keep},
		}},

		nisTrying: {"non-INVITE server, trying", [events]step{
			{nisTrying, 0, keep},
			{nisTrying, 0, keep},
			{nisProceeding, doSend | doQuiet, keep},
			{nisTrying, 0, keep},
			{nisCompleted, doSend | doQuiet, limitJ},
			{nisCompleted, doSend | doQuiet, limitJ},
			{nisTrying, 0, keep},
			{nisProceeding, doSend | doQuiet, keep},
			{nisGivenUp, doQuiet, limitK},
			{nisTrying, 0, keep},
		}},
		nisProceeding: {"non-INVITE server, proceeding", [events]step{
			{nisProceeding, doResend, keep},
			{nisProceeding, 0, keep},
			{nisProceeding, doSend, keep},
			{nisProceeding, 0, keep},
			{nisCompleted, doSend, limitJ},
			{nisCompleted, doSend, limitJ},
			{nisProceeding, 0, keep},
			{nisProceeding, 0, keep},
			{nisGivenUp, doQuiet, limitK},
			{nisProceeding, 0, keep},
		}},
		nisCompleted: {"non-INVITE server, completed", [events]step{
			{nisCompleted, doResend, keep},
			{nisCompleted, 0, keep},
			{nisCompleted, 0, keep},
			{nisCompleted, 0, keep},
			{nisCompleted, 0, keep},
			{nisCompleted, 0, keep},
			{nisCompleted, 0, keep},
			{nisCompleted, 0, keep},
			{gone, 0, keep},
			{nisCompleted, 0, keep},
		}},
		nisGivenUp: {"non-INVITE server, given up", [events]step{
			{nisGivenUp, 0, keep},
			{nisGivenUp, 0, keep},
			{nisGivenUp, 0, keep},
			{nisGivenUp, 0, keep},
			{nisGivenUp, 0, keep},
			{nisGivenUp, 0, keep},
			{nisGivenUp, 0, keep},
			{nisGivenUp, 0, keep},
			{gone, 0, keep},
			{nisGivenUp, 0, keep},
		}},

		ivcCalling: {"INVITE client, calling", [events]step{
			{ivcCalling, 0, keep},
			{ivcCalling, 0, keep},
			{ivcProceeding, doPass | doQuiet, limitC},
			{ivcProceeding, doPass | doQuiet, limitC},
			{ivcAccepted, doPass | doQuiet, limitM},
			{ivcCompleted, doAck | doPass | doQuiet, limitD},
			{ivcGivenUp, 0, keep},
			{ivcCalling, doResend | doRepeat, keep},
			{gone, doFail, keep},
			{gone, doFail, keep},
		}},
		ivcGivenUp: {"INVITE client, given up", [events]step{
			{ivcGivenUp, 0, keep},
			{ivcGivenUp, 0, keep},
			{ivcCancelled, doCancel | doPass | doQuiet, limitCancel},
			{ivcCancelled, doCancel | doPass | doQuiet, limitCancel},
			{ivcAccepted, doPass | doQuiet, limitM},
			{ivcCompleted, doAck | doPass | doQuiet, limitD},
			{ivcGivenUp, 0, keep},
			{ivcGivenUp, doResend | doRepeat, keep},
			{gone, doFail, keep},
			{gone, doFail, keep},
		}},
		ivcProceeding: {"INVITE client, proceeding", [events]step{
			{ivcProceeding, 0, keep},
			{ivcProceeding, 0, keep},
			{ivcProceeding, doPass, keep},
			{ivcProceeding, doPass, limitC},
			{ivcAccepted, doPass, limitM},
			{ivcCompleted, doAck | doPass, limitD},
			{ivcCancelled, doCancel, limitCancel},
			{ivcProceeding, 0, keep},
			{ivcCancelled, doCancel, limitCancel},
			{gone, doFail, keep},
		}},
		ivcCancelled: {"INVITE client, cancelled", [events]step{
			{ivcCancelled, 0, keep},
			{ivcCancelled, 0, keep},
			{ivcCancelled, doPass, keep},
			{ivcCancelled, doPass, keep},
			{ivcAccepted, doPass, limitM},
			{ivcCompleted, doAck | doPass, limitD},
			{ivcCancelled, 0, keep},
			{ivcCancelled, 0, keep},
			{gone, doFail, keep},
			{gone, doFail, keep},
		}},
		ivcAccepted: {"INVITE client, accepted", [events]step{
			{ivcAccepted, 0, keep},
			{ivcAccepted, 0, keep},
			{ivcAccepted, 0, keep},
			{ivcAccepted, 0, keep},
			{ivcAccepted, doPass, keep},
			{ivcAccepted, 0, keep},
			{ivcAccepted, 0, keep},
			{ivcAccepted, 0, keep},
			{gone, 0, keep},
			{ivcAccepted, 0, keep},
		}},
		ivcCompleted: {"INVITE client, completed", [events]step{
			{ivcCompleted, 0, keep},
			{ivcCompleted, 0, keep},
			{ivcCompleted, 0, keep},
			{ivcCompleted, 0, keep},
			{ivcCompleted, 0, keep},
			{ivcCompleted, doAck, keep},
			{ivcCompleted, 0, keep},
			{ivcCompleted, 0, keep},
			{gone, 0, keep},
			{ivcCompleted, 0, keep},
		}},

		nicTrying: {"non-INVITE client, trying", [events]step{
			{nicTrying, 0, keep},
			{nicTrying, 0, keep},
			{nicProceeding, doPass, keep},
			{nicProceeding, doPass, keep},
			{nicCompleted, doPass | doQuiet, limitK},
			{nicCompleted, doPass | doQuiet, limitK},
			{nicTrying, 0, keep},
			{nicTrying, doResend | doRepeat, keep},
			{gone, doFail, keep},
			{gone, doFail, keep},
		}},
		nicProceeding: {"non-INVITE client, proceeding", [events]step{
			{nicProceeding, 0, keep},
			{nicProceeding, 0, keep},
			{nicProceeding, doPass, keep},
			{nicProceeding, doPass, keep},
			{nicCompleted, doPass | doQuiet, limitK},
			{nicCompleted, doPass | doQuiet, limitK},
			{nicProceeding, 0, keep},
			{nicProceeding, doResend | doRepeat, keep},
			{gone, doFail, keep},
			{gone, doFail, keep},
		}},
		nicCompleted: {"non-INVITE client, completed", [events]step{
			{nicCompleted, 0, keep},
			{nicCompleted, 0, keep},
			{nicCompleted, 0, keep},
			{nicCompleted, 0, keep},
			{nicCompleted, 0, keep},
			{nicCompleted, 0, keep},
			{nicCompleted, 0, keep},
			{nicCompleted, 0, keep},
			{gone, 0, keep},
			{nicCompleted, 0, keep},
		}},
	}
	for s := range states {
		for ev := range events {
			if got, want := s.on(ev), table[s].steps[ev]; got != want {
				t.Errorf("%s, %s: got %+v, want %+v", table[s].name, names[ev], got, want)
			}
		}
	}
}

// Every undecided state ends with a final response or a failure, and no event
// leads from a decided state back.
func TestFSM_DecidedOnce(t *testing.T) {
	for s := range states {
		for ev := range events {
			st := s.on(ev)
			if !s.undecided() && st.next.undecided() {
				t.Errorf("state %d, event %d: a decided transaction becomes undecided", s, ev)
			}
			if st.do&doFail != 0 && (!s.undecided() || st.next != terminated) {
				t.Errorf("state %d, event %d: failure told to the user but not the end", s, ev)
			}
		}
	}
}

func TestLimits_RFC3261_TableA(t *testing.T) {
	l := New(Options{Queues: 1})
	tests := []struct {
		name           string
		t              limit
		udpSec, tcpSec float64
	}{
		{"C", limitC, 181, 181},
		{"after CANCEL", limitCancel, 32, 32},
		{"D", limitD, 32, 0},
		{"H", limitH, 32, 32},
		{"I", limitI, 5, 0},
		{"J", limitJ, 32, 0},
		{"K", limitK, 5, 0},
		{"L", limitL, 32, 32},
		{"M", limitM, 32, 32},
	}
	for _, tt := range tests {
		if udp, tcp := l.limit(tt.t, false).Seconds(), l.limit(tt.t, true).Seconds(); udp != tt.udpSec || tcp != tt.tcpSec {
			t.Errorf("timer %s = %v s on UDP, %v s on a stream, want %v, %v", tt.name, udp, tcp, tt.udpSec, tt.tcpSec)
		}
	}
}
