//! What the teacher may cost: tokens and money a day (UTC). No clock of its own, no I/O.
//!
//! A question reserves what it will cost about before it is asked, so that many at once cannot
//! overrun the budget together, and settles what it cost when the answer is there.

/// Budget of a day. 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DailyBudget {
    /// Tokens, prompt and answer.
    pub tokens: u64,
    /// Money, in the currency of the prices.
    pub cost: f64,
}

/// Prices of a provider, for a million tokens. 0: free.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// Of the prompt.
    pub prompt: f64,
    /// Of the answer.
    pub completion: f64,
}

impl Price {
    /// What a call costs.
    #[expect(clippy::cast_precision_loss, reason = "tokens of a call, or of a day, are few")]
    pub fn of(&self, prompt: u64, completion: u64) -> f64 {
        (prompt as f64).mul_add(self.prompt, completion as f64 * self.completion) / 1e6
    }
}

/// Tokens and money.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// Tokens.
    pub tokens: u64,
    /// Money.
    pub cost: f64,
}

/// What was spent today.
#[derive(Debug, Default)]
pub struct Spend {
    budget: DailyBudget,
    day: i64,
    spent: Amount,
    reserved: Amount,
}

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

impl Spend {
    /// Nothing spent yet.
    pub fn new(budget: DailyBudget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Reserves `amount` at `now_ms` (Unix time); false when it would not fit the day's budget.
    pub fn reserve(&mut self, amount: Amount, now_ms: i64) -> bool {
        let day = now_ms.div_euclid(DAY_MS);
        if day != self.day {
            self.day = day;
            // What is under way was reserved yesterday and will be settled today.
            self.spent = Amount::default();
        }
        let tokens = self.spent.tokens + self.reserved.tokens + amount.tokens;
        let cost = self.spent.cost + self.reserved.cost + amount.cost;
        let over = (self.budget.tokens > 0 && tokens > self.budget.tokens)
            || (self.budget.cost > 0.0 && cost > self.budget.cost);
        if !over {
            self.reserved.tokens += amount.tokens;
            self.reserved.cost += amount.cost;
        }
        !over
    }

    /// The question that reserved `reserved` has cost `spent`.
    pub fn settle(&mut self, reserved: Amount, spent: Amount) {
        self.reserved.tokens = self.reserved.tokens.saturating_sub(reserved.tokens);
        self.reserved.cost = (self.reserved.cost - reserved.cost).max(0.0);
        self.spent.tokens += spent.tokens;
        self.spent.cost += spent.cost;
    }

    /// What was spent on the day of the last reservation.
    pub const fn today(&self) -> Amount {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(tokens: u64, cost: f64) -> Amount {
        Amount { tokens, cost }
    }

    #[test]
    fn prices_are_for_a_million() {
        let price = Price { prompt: 2.0, completion: 8.0 };
        assert!((price.of(1_000_000, 500_000) - 6.0).abs() < 1e-9);
    }

    #[test]
    fn questions_under_way_count_so_the_budget_is_never_overrun() {
        let mut spend = Spend::new(DailyBudget { tokens: 100, cost: 0.0 });
        assert!(spend.reserve(amount(60, 1.0), 0));
        assert!(!spend.reserve(amount(60, 1.0), 0), "both together would be over");
        spend.settle(amount(60, 1.0), amount(30, 0.5));
        assert!(spend.reserve(amount(70, 1.0), 0), "it cost less than reserved");
        assert!(!spend.reserve(amount(1, 0.0), 0));
        assert_eq!(spend.today(), amount(30, 0.5));
    }

    #[test]
    fn money_has_a_limit_of_its_own_and_a_day_begins_at_midnight() {
        let mut spend = Spend::new(DailyBudget { tokens: 0, cost: 1.0 });
        assert!(spend.reserve(amount(9, 0.9), DAY_MS - 1));
        spend.settle(amount(9, 0.9), amount(9, 0.9));
        assert!(!spend.reserve(amount(9, 0.2), DAY_MS - 1));
        assert!(spend.reserve(amount(9, 0.2), DAY_MS));
    }

    #[test]
    fn without_a_budget_nothing_is_refused() {
        let mut spend = Spend::new(DailyBudget::default());
        assert!(spend.reserve(amount(u64::MAX / 4, 1e12), 0));
    }
}
