// Which values are worth showing: between two fractions of them, and no single one decides.

/** The ends of what lies between two fractions of sorted values, 0 to 1: rounded inwards, past one hot or dead pixel. */
export function within(sorted, least, most) {
  const last = sorted.length - 1;
  const [first, end] = [Math.ceil(least * last), Math.floor(most * last)];
  return first < end ? [sorted[first], sorted[end]] : [sorted[0], sorted[last]];
}
