package sipmsg

import (
	"strings"
	"unsafe"
)

// Outgoing reads of a request that is sent what its responses are matched by (RFC
// 3261 §17.1.3): its method and the branch of its topmost Via, which are copies. The
// error says that wire is no request, or too damaged for Parse to return a Message.
func Outgoing(wire []byte) (method, branch string, err error) {
	var s Scan
	if err := s.Parse(unsafe.String(unsafe.SliceData(wire), len(wire))); err != nil {
		return "", "", err
	}
	value, ok := s.Value(HdrVia)
	if !s.request || !ok || s.count[HdrCSeq] == 0 {
		return "", "", badRequest("Not A Request", errMissing)
	}
	if _, err := s.bodyLength(); err != nil {
		return "", "", err
	}
	top, _, _ := cutValue(value)
	via, err := ParseVia(top)
	if err != nil {
		return "", "", err
	}
	return known(s.Method()), strings.Clone(via.Branch()), nil
}

// known is s, without a copy if it is one of the usual methods.
func known(method string) string {
	switch method {
	case "INVITE":
		return "INVITE"
	case "BYE":
		return "BYE"
	case "ACK":
		return "ACK"
	case "CANCEL":
		return "CANCEL"
	}
	return strings.Clone(method)
}
