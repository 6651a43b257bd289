import sys, time
from tests.server.test_share_exchange import *
def run(seed, steps=8000):
    rng = random.Random(seed)
    count = rng.choice((3, 3, 5))
    world = World(count, LIMITS, seed, rng.choice((1, 20, 200)))
    everybody = list(range(1, count + 1))
    world.lead(1, everybody[1:])
    world.step(10)
    worst = [0.0] * KINDS
    until_change = rng.randint(500, 3_000)
    for _ in range(steps):
        for sid, server in world.servers.items():
            if not server.serves: continue
            for _ in range(rng.choice((0, 0, 1, 5)) * (sid % 3)):
                world.connect(sid); world.watch(sid)
            tenant = server.tenant()
            if rng.random() < 0.05 and tenant.connections > 0:
                tenant.connections -= rng.randint(1, int(tenant.connections))
            if rng.random() < 0.01: tenant.watching.count = 0
            tenant.rates.requests.taken += rng.randint(0, 3 * sid)
            tenant.rates.bytes.taken += rng.randint(0, 2_000)
        until_change -= 1
        if until_change == 0:
            until_change = rng.randint(500, 3_000)
            disturb(world, rng, everybody)
        world.step()
        for kind in range(KINDS):
            worst[kind] = max(worst[kind], world.total(kind) / BOUNDS[kind])
    return max(worst)
t=time.time(); res=[]
for seed in range(1000, 1300):
    res.append((run(seed), seed))
    if time.time()-t > 420: break
res.sort(reverse=True)
print(len(res), "seeds; worst", res[:8], "above limit:", sum(r>1.0 for r,_ in res))
