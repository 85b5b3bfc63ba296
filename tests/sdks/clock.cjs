// Loaded before an SDK: a machine whose clock is wrong by CLOCK_SECONDS.
const wrong = Number(process.env.CLOCK_SECONDS || 0) * 1000
const RealDate = Date
globalThis.Date = class extends RealDate {
  constructor(...given) {
    if (given.length) super(...given)
    else super(RealDate.now() + wrong)
  }
  static now() { return RealDate.now() + wrong }
}
