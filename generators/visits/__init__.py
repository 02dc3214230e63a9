"""Visits of the simulated customers to a site: who comes, what they look at, and who buys.

The customers, their devices and their habits are those of the card payments (``generators/population.py``). A visit
has an intent that nobody sees: to look around, to compare, or to buy. It shapes which pages are looked at and for how
long. Whether the visit ends in a purchase is drawn last, from the intent, the customer's liking for buying online, and
the cart and checkout pages of the visit; so the probability that it is drawn with is the best score that there can be,
and its PR-AUC is the ceiling of every model.

Simulated: returning customers with devices of their own, now and then another one; referrers; abandoned carts; the
hours at which a customer is awake; pages of which a few are looked at by many. Not simulated: campaigns, prices, stock,
robots, several visits of one customer at once, and customers who are not signed in.
"""
