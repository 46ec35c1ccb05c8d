// Plays Xen Orchestra's own backup worker against a server: node xen_orchestra_backups.mjs URL PASSWORD DIRECTORY MODE
import { Xapi } from '@xen-orchestra/xapi'
import { getHandler } from '@xen-orchestra/fs'
import { ImportVmBackup } from '@xen-orchestra/backups/ImportVmBackup.mjs'
import { RemoteAdapter } from '@xen-orchestra/backups/RemoteAdapter.mjs'
import { runBackupWorker } from '@xen-orchestra/backups/runBackupWorker.mjs'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'

const [, , url, password, directory, mode] = process.argv
const MEBIBYTE = 1 << 20
const remote = { id: 'remote', url: `file://${directory}/remote`, enabled: true, name: 'remote' }
const xapi = new Xapi({ url, auth: { user: 'root', password }, allowUnauthorized: true, debounce: 20 })
await xapi.connect()
await xapi.objectsFetched
const objects = type => Object.values(xapi.objects.all).filter(object => object.$type === type)
const network = objects('network').find(object => object.PIFs.length > 0)
const template = objects('VM').find(object => object.name_label === 'Other install media')
await xapi.call('network.add_purpose', network.$ref, 'nbd')

async function makeSr(name) {
  fs.mkdirSync(`${directory}/${name}`, { recursive: true })
  const location = { location: `${directory}/${name}` }
  const ref = await xapi.call('SR.create', xapi.pool.master, location, 0, name, '', 'file', 'user', false, {})
  return { ref, uuid: await xapi.call('SR.get_uuid', ref) }
}
const here = await makeSr('here')
const there = await makeSr('there')

async function makeVm(...sizes) {
  const ref = await xapi.VM_create({ ...template, name_label: 'precious', is_a_template: false, other_config: {} })
  const disks = []
  for (const size of sizes) {
    const disk = await xapi.VDI_create({ name_label: 'data', SR: here.ref, virtual_size: size * MEBIBYTE })
    await xapi.VBD_create({ VM: ref, VDI: disk })
    const data = Buffer.alloc(size * MEBIBYTE)
    crypto.randomFillSync(data, 0, 3 * MEBIBYTE)
    await xapi.VDI_importContent(disk, data, { format: 'raw' })
    disks.push(disk)
  }
  await xapi.VBD_create({ VM: ref, type: 'CD' })
  await xapi.VIF_create({ VM: ref, network: network.$ref })
  return { ref, disks, uuid: await xapi.call('VM.get_uuid', ref) }
}

async function write(disk, at, length = MEBIBYTE) {
  const head = Buffer.alloc(12)
  head.writeBigUInt64LE(BigInt(at))
  head.writeUInt32LE(length, 8)
  const body = Buffer.concat([head, crypto.randomBytes(length), Buffer.alloc(12)])
  const query = { vdi: disk, format: 'raw', chunked: 'true' }
  await xapi.putResource(body, '/import_raw_vdi/', { query, task: await xapi.task_create('write') })
}

async function digests(disks) {
  const found = []
  for (const disk of disks) {
    const digest = crypto.createHash('sha256')
    for await (const chunk of await xapi.VDI_exportContent(disk, { format: 'raw' })) digest.update(chunk)
    found.push(digest.digest('hex'))
  }
  return found.sort()
}

async function work(job) {
  const told = []
  await xapi.barrier()
  const recordToXapi = Object.fromEntries(Object.values(xapi.objects.all).map(object => [object.uuid, 'pool']))
  await runBackupWorker(
    {
      config: {
        defaultSettings: {},
        metadata: { defaultSettings: {} },
        vm: { defaultSettings: {} },
        snapshotNameLabelTpl: '[XO Backup {job.name}] {vm.name_label}',
        dirMode: 0o700,
      },
      job: { id: 'job', name: 'job', userId: 'user', ...job },
      schedule: { id: 'schedule', name: 'schedule' },
      recordToXapi,
      remotes: { remote },
      remoteOptions: {},
      resourceCacheDelay: 0,
      xapiOptions: { debounce: 20 },
      xapis: { pool: { url, credentials: { username: 'root', password }, allowUnauthorized: true } },
    },
    log => {
      told.push(log)
      assert.notEqual(log.type, 'warning', JSON.stringify(log))
      assert.notEqual(log.status, 'failure', JSON.stringify(log))
    }
  )
  return told
}
const backUp = (kind, vm, settings, more = {}) =>
  work({
    type: 'backup',
    mode: kind,
    vms: { id: vm.uuid },
    remotes: { id: 'remote' },
    settings: { '': {}, schedule: { exportRetention: 7, snapshotRetention: 0, ...settings } },
    ...more,
  })

async function withAdapter(use) {
  const handler = getHandler(remote)
  await handler.sync()
  const debounceResource = async resource => resource
  try {
    return await use(new RemoteAdapter(handler, { debounceResource, dirMode: 0o700 }))
  } finally {
    await handler.forget()
  }
}
const restore = (vm, number) =>
  withAdapter(async adapter => {
    const all = (await adapter.listVmBackups(vm.uuid)).sort((a, b) => a.timestamp - b.timestamp)
    const importing = new ImportVmBackup({ adapter, metadata: all.at(number), srUuid: there.uuid, xapi })
    const ref = await xapi.call('VM.get_by_uuid', (await importing.run()).id)
    return { ref, disks: await xapi.VM_getDisks(ref) }
  })

async function differences(settings) {
  const vm = await makeVm(32, 6)
  const wanted = []
  for (let run = 0; run < 3; ++run) {
    if (run > 0) await write(vm.disks[0], run * 6 * MEBIBYTE)
    wanted.push(await digests(vm.disks))
    const told = await backUp('delta', vm, settings)
    const size = Math.max(...told.map(log => log.result?.size ?? 0))
    assert(run === 0 ? size > 6 * MEBIBYTE : size < 3 * MEBIBYTE, `run ${run} moved ${size} bytes`)
    const overNbd = told.some(log => log.message === 'Transfer data using NBD')
    assert.equal(overNbd, settings.preferNbd === true)
  }
  for (let run = 0; run < 3; ++run) {
    const restored = await restore(vm, run)
    assert.deepEqual(await digests(restored.disks), wanted[run])
    await xapi.callAsync('VM.start', restored.ref, false, false)
  }
}

const modes = {
  async full() {
    for (const compression of ['', 'native', 'zstd']) {
      const vm = await makeVm(8, 4)
      await xapi.callAsync('VM.start', vm.ref, false, false)
      await backUp('full', vm, { snapshotRetention: 1 }, { compression })
      const restored = await restore(vm, -1)
      const [snapshot] = await xapi.call('VM.get_snapshots', vm.ref)
      assert.deepEqual(await digests(restored.disks), await digests(await xapi.VM_getDisks(snapshot)))
    }
  },
  async differences() {
    await differences({})
  },
  async nbd() {
    await differences({ preferNbd: true, cbtDestroySnapshotData: true })
  },
  async replication() {
    const vm = await makeVm(16)
    const settings = { preferNbd: true, copyRetention: 2 }
    for (let run = 0; run < 3; ++run) {
      if (run > 0) await write(vm.disks[0], run * 4 * MEBIBYTE)
      await backUp('delta', vm, settings, { remotes: undefined, srs: { id: there.uuid } })
    }
    await backUp('full', vm, { copyRetention: 1 }, { id: 'full', remotes: undefined, srs: { id: there.uuid } })
    await xapi.barrier()
    const copies = objects('VM').filter(copy => /precious/.test(copy.name_label) && copy.$ref !== vm.ref)
    const wanted = await digests(vm.disks)
    const found = []
    for (const copy of copies) found.push([copy.name_label, (await digests(await xapi.VM_getDisks(copy.$ref))).join()])
    const whole = found.filter(([, digest]) => digest === wanted.join()).map(([name]) => name)
    assert(whole.some(name => / - job - /.test(name)), `a full copy with its name: ${found}`)
    assert(whole.length > 1, `both copies have the newest content: ${found}`)
  },
  async memory() {
    const vm = await makeVm(4)
    await xapi.callAsync('VM.start', vm.ref, false, false)
    await backUp('delta', vm, { checkpointSnapshot: true })
    const restored = await restore(vm, -1)
    assert.equal(await xapi.call('VM.get_power_state', restored.ref), 'Suspended')
    await xapi.callAsync('VM.resume', restored.ref, false, false)
    const tagged = await makeVm(4)
    await backUp('delta', tagged, { healthCheckSr: there.uuid }, { id: 'checked' })
  },
  async metadata() {
    const settings = { schedule: { retentionPoolMetadata: 2 } }
    await work({ type: 'metadataBackup', pools: { id: xapi.pool.uuid }, remotes: { id: 'remote' }, settings })
    const kept = await withAdapter(adapter => adapter.listPoolMetadataBackups())
    assert.equal(Object.values(kept).flat().length, 1)
  },
}
await modes[mode]()
await xapi.disconnect()
process.exit(0)
