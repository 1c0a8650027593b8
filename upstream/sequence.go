package upstream

import "container/heap"

// maxSequence bounds the turns of one round, and so the memory and build time of
// weights that have no common divisor. Beyond it weights are rounded.
const maxSequence = 8192

// sequence returns one round of turns in which holder i has weights[i] of the
// sum, evenly spread: after every t turns of a round each holder has had its ideal
// number t*weight/sum, rounded down or up. All weights must be above zero.
//
// It is a real-time schedule: turn k of a holder may come no earlier than
// k*sum/weight and no later than (k+1)*sum/weight. Sharing the time in proportion
// meets all these windows, hence some order of whole turns does, and taking the
// earliest deadline first finds it (Jackson 1955; the windows are those of
// proportional fairness, Baruah et al. 1996).
func sequence(weights []int) []int32 {
	weights = reduce(weights)
	sum := 0
	for _, w := range weights {
		sum += w
	}

	// opens[t] heads the list of holders whose next turn may come at t; each holder
	// waits for one turn at a time, so one link for each is enough.
	opens := make([]int32, sum+1)
	for t := range opens {
		opens[t] = -1
	}
	link := make([]int32, len(weights))
	open := func(holder int32, t int) {
		link[holder] = opens[t]
		opens[t] = holder
	}
	for i := len(weights) - 1; i >= 0; i-- {
		open(int32(i), 0)
	}

	taken := make([]int, len(weights))
	order := make([]int32, 0, sum)
	var due dueTurns
	for t := range sum {
		for h := opens[t]; h >= 0; h = link[h] {
			k := taken[h] + 1
			deadline := (k*sum + weights[h] - 1) / weights[h]
			heap.Push(&due, dueTurn{deadline: deadline, holder: h})
		}
		h := heap.Pop(&due).(dueTurn).holder
		order = append(order, h)
		taken[h]++
		open(h, min(max(taken[h]*sum/weights[h], t+1), sum))
	}
	return order
}

// reduce divides the weights by what they have in common, and rounds them where
// one round would still be too long. None becomes zero.
func reduce(weights []int) []int {
	divisor, sum := 0, 0
	for _, w := range weights {
		divisor = gcd(divisor, w)
		sum += w
	}
	limit := max(maxSequence, 16*len(weights))
	out := make([]int, len(weights))
	for i, w := range weights {
		if sum/divisor <= limit {
			out[i] = w / divisor
		} else {
			out[i] = max(1, (w*limit+sum/2)/sum)
		}
	}
	return out
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// dueTurn is a turn that may be taken now.
type dueTurn struct {
	deadline int
	holder   int32
}

// dueTurns is a heap by deadline, then by holder, so that equal weights go round in order.
type dueTurns []dueTurn

func (d dueTurns) Len() int      { return len(d) }
func (d dueTurns) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *dueTurns) Push(x any)   { *d = append(*d, x.(dueTurn)) }

func (d dueTurns) Less(i, j int) bool {
	if d[i].deadline != d[j].deadline {
		return d[i].deadline < d[j].deadline
	}
	return d[i].holder < d[j].holder
}

func (d *dueTurns) Pop() any {
	old := *d
	last := old[len(old)-1]
	*d = old[:len(old)-1]
	return last
}
