package resolve

import "slices"

// Shuffle puts a list into the order in which its entries are tried (RFC 2782): those
// of the lowest priority first, and among equals by chance, in proportion to their
// weights. rank returns the priority and the weight of an entry; random returns a
// number in [0, n).
func Shuffle[T any](list []T, rank func(T) (priority, weight uint16), random func(n int) int) {
	slices.SortStableFunc(list, func(a, b T) int {
		p, v := rank(a)
		q, w := rank(b)
		switch {
		case p != q:
			return int(p) - int(q)
		case (v == 0) != (w == 0):
			// RFC 2782: those of weight 0 come first, for then they have a chance.
			return int(min(v, 1)) - int(min(w, 1))
		}
		return 0
	})
	for len(list) > 1 {
		first, _ := rank(list[0])
		sum, n := 0, 0
		for ; n < len(list); n++ {
			p, w := rank(list[n])
			if p != first {
				break
			}
			sum += int(w)
		}
		chosen, running, drawn := 0, 0, random(sum+1)
		for i := range n {
			_, w := rank(list[i])
			if running += int(w); running >= drawn {
				chosen = i
				break
			}
		}
		x := list[chosen]
		copy(list[1:chosen+1], list[:chosen])
		list[0] = x
		list = list[1:]
	}
}
