package purr

import "encoding/binary"

// The alphabet of RFC 4648 §7 (base32hex) in lower case: the densest whole
// number of bits per letter in an alphabet of one case.
const alphabet = "0123456789abcdefghijklmnopqrstuv"

// encodedLen returns how many letters n bytes take.
func encodedLen(n int) int { return (n*8 + 4) / 5 }

// decodedLen returns how many bytes n letters hold.
func decodedLen(n int) int { return n * 5 / 8 }

// appendEncoded appends the letters of src to dst. Bits left over in the last
// letter are zero.
func appendEncoded(dst, src []byte) []byte {
	// Five bytes are eight letters.
	for ; len(src) >= 5; src = src[5:] {
		v := uint64(binary.BigEndian.Uint32(src))<<8 | uint64(src[4])
		dst = append(dst,
			alphabet[v>>35&31], alphabet[v>>30&31], alphabet[v>>25&31], alphabet[v>>20&31],
			alphabet[v>>15&31], alphabet[v>>10&31], alphabet[v>>5&31], alphabet[v&31])
	}
	var acc uint32
	bits := 0
	for _, b := range src {
		acc = acc<<8 | uint32(b)
		for bits += 8; bits >= 5; {
			bits -= 5
			dst = append(dst, alphabet[acc>>bits&31])
		}
	}
	if bits > 0 {
		dst = append(dst, alphabet[acc<<(5-bits)&31])
	}
	return dst
}

// appendDecoded appends the bytes of s to dst. It takes letters of either case
// and, the case aside, exactly the strings that appendEncoded writes: bytes have
// one spelling only, so that no bit of a token can change without notice.
func appendDecoded(dst []byte, s string) (b []byte, ok bool) {
	var acc uint32
	bits := 0
	for i := range len(s) {
		v := letterValue(s[i])
		if v < 0 {
			return dst, false
		}
		acc = acc<<5 | uint32(v)
		if bits += 5; bits >= 8 {
			bits -= 8
			dst = append(dst, byte(acc>>bits))
		}
	}
	// A whole letter left over, or bits that are not zero, is another spelling.
	return dst, bits < 5 && acc&(1<<bits-1) == 0
}

func letterValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'v':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'V':
		return int(c-'A') + 10
	}
	return -1
}
